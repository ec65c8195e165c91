import { parseReference } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'
import type { KubernetesOptions, QueueOptions } from '../deploy/kubernetes.ts'
import type { GatewayName } from '../deploy/split.ts'
import type { Io } from './command.ts'

/** The options of `deploy kubernetes`, as given. */
export interface KubernetesFlags {
  readonly name?: string
  readonly replicas: string
  readonly gpus: string
  readonly cpu?: string
  readonly memory?: string
  readonly queueSecret?: string
  readonly queueAddress: string
  readonly queueName: string
  readonly queueTls: boolean
  readonly queueUsernameKey?: string
  readonly queuePasswordKey?: string
  readonly maxWorkers: string
  readonly split?: string
  readonly gateway?: string
  readonly hostname: readonly string[]
  readonly insecure: boolean
}

const NAME = /^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$/
const HOSTNAME = /^(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/

/** What is the same for every pod. @throws BuildError USAGE */
export function podsOf(flags: KubernetesFlags): Pick<KubernetesOptions, 'replicas' | 'gpus' | 'cpu' | 'memory'> {
  return {
    replicas: count('--replicas', flags.replicas),
    gpus: count('--gpus', flags.gpus),
    cpu: quantity('--cpu', flags.cpu),
    memory: quantity('--memory', flags.memory),
  }
}

/** Where workers take jobs. @throws BuildError USAGE */
export function queueOf(secret: string, flags: KubernetesFlags): QueueOptions {
  return {
    secret,
    address: flags.queueAddress,
    stream: flags.queueName,
    isTls: flags.queueTls,
    usernameKey: flags.queueUsernameKey,
    passwordKey: flags.queuePasswordKey,
    maxReplicas: count('--max-workers', flags.maxWorkers),
  }
}

/** @throws BuildError USAGE for what is no DNS label that begins with a letter, or too long to add `-worker` to */
export function checkName(name: string): string {
  if (NAME.test(name)) return name
  throw new BuildError('USAGE', `Not a name for Kubernetes objects: \`${name}\``, {
    hint: 'Choose one with --name: small letters, digits and dashes, a letter first.',
  })
}

/** The gateway of a route. @throws BuildError USAGE when there is none, or it is no name */
export function gatewayOf(text: string | undefined): GatewayName {
  if (text === undefined)
    throw new BuildError('USAGE', '--split needs the gateway that requests come through', {
      hint: 'Name it with --gateway: `kubectl get gateways --all-namespaces` lists them.',
    })
  const [, namespace, name = ''] = /^(?:([^/]*)\/)?([^/]*)$/.exec(text) ?? []
  if (!HOSTNAME.test(name) || (namespace !== undefined && !/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)))
    throw new BuildError('USAGE', `--gateway is not a name, or a namespace and a name: \`${text}\``)
  return { name, namespace }
}

/** @throws BuildError USAGE */
export function hostnamesOf(hosts: readonly string[]): readonly string[] {
  const unfit = hosts.find((host) => !HOSTNAME.test(host) || host.length > 253)
  if (unfit !== undefined) throw new BuildError('USAGE', `--hostname is not a host's name: \`${unfit}\``)
  return hosts
}

/** What a cluster can pull: an image in a registry. */
export function imageOf(text: string, io: Io): string {
  const image = text.replace(/^docker:\/\//, '')
  if (/^(?:oci|oci-archive|docker-archive):/.test(image) || /^[./]/.test(image))
    throw new BuildError('USAGE', `A cluster can pull no image of this machine: \`${text}\``, {
      hint: 'Push it first, and name what was pushed with its digest.',
    })
  const { registry } = parseReference(image)
  if (!/^(?:localhost|[^/]*[.:][^/]*)\//.test(image)) {
    const note = `A cluster looks for \`${image}\` at ${registry}; name the registry where it was pushed`
    io.report({ type: 'note', level: 'warning', text: note, code: 'IMAGE_WITHOUT_REGISTRY' })
  }
  return image
}

/** The last part of an image's name, as far as Kubernetes takes it. */
export function nameOf(image: string): string {
  const path = image.split('@')[0]?.split('/').at(-1)?.split(':')[0] ?? ''
  return path
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
}

/** @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
function quantity(flag: string, text: string | undefined): string | undefined {
  if (text !== undefined && !/^\d+(?:\.\d+)?(?:m|[kMGTPE]i?|Ki)?$/.test(text))
    throw new BuildError('USAGE', `${flag} is not an amount that Kubernetes knows: \`${text}\``, {
      hint: 'Amounts look like 2, 500m, 8Gi or 500Mi.',
    })
  return text
}

function count(flag: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0) throw new BuildError('USAGE', `${flag} must be a number: \`${text}\``)
  return value
}
