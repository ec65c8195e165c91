import { ociRuntime } from './oci-runtime.ts'

/** runc; as real root it puts the container into a cgroup of its own, in a user namespace it goes without. */
export const runc = ociRuntime('runc', { globalOptions: [], deviceCgroup: (host) => host.namespaces === 'root' })
