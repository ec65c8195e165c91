import type { Backend } from '../container.ts'
import { startDirect, type DirectContainer } from '../direct.ts'
import type { Host } from '../host.ts'
import { heldCapabilities } from '../runtime-spec.ts'
import { boundingOf, shellScript, shellSpec } from '../shell-mounts.ts'
import { which } from '../which.ts'

/**
 * The last resort: `unshare`, `mount` and `setpriv` of util-linux, which even a bare machine has.
 *
 * The root file system is moved over `/` of the mount namespace before it is entered, so that leaving the chroot leads
 * nowhere.
 */
export const chroot: Backend = {
  name: 'chroot',
  program: 'unshare',
  start: (container, stdio, host) =>
    startDirect(container, stdio, host, (container, folders) => {
      const spec = shellSpec(container, host)
      return {
        network: container.network,
        files: { 'config.json': JSON.stringify(spec) },
        script: shellScript(container, spec, folders),
        enter: 'sh -c \'cd root && mount -n --move . / && exec "$@"\' sh "$@"',
        args: enterRoot(container, host),
      }
    }),
}

function enterRoot(container: DirectContainer, host: Host): string[] {
  const { args, env, cwd, uid, gid, additionalGids } = container.process
  const capabilities = heldCapabilities(boundingOf(host)).map((name) => name.slice('CAP_'.length).toLowerCase())
  // With a single id there is nobody else to become, and groups cannot be set.
  const isSingle = host.namespaces === 'single'
  const others = isSingle || uid === 0 ? [] : ['--setgid', String(gid), '--setuid', String(uid)]
  const groups = isSingle || additionalGids.length === 0 ? [] : ['--groups', additionalGids.join(',')]
  return [
    which('env', host.env) ?? 'env',
    '-i',
    ...env,
    which('setpriv', host.env) ?? 'setpriv',
    '--no-new-privs',
    `--bounding-set=-all,${capabilities.map((name) => `+${name}`).join(',')}`,
    '--inh-caps=-all',
    ...groups,
    which('unshare', host.env) ?? 'unshare',
    '--root=.',
    `--wd=${cwd}`,
    ...others,
    '--',
    ...args,
  ]
}
