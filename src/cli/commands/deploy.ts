import { stringify } from 'yaml'
import { parseReference } from '../../../registry/reference.ts'
import { BuildError } from '../../core/errors.ts'
import { makeKubernetesObjects } from '../../deploy/kubernetes.ts'
import type { Command, Io } from '../command.ts'

interface KubernetesFlags {
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
}

const kubernetes: Command = {
  define(program) {
    program
      .argument('<image>', 'image reference, best with its digest')
      .option('--name <name>', "name of the objects; the image's last part unless given")
      .option('--replicas <count>', 'servers', '1')
      .option('--gpus <count>', 'GPUs for each pod', '0')
      .option('--cpu <amount>', 'processors that each pod asks for, such as 2 or 500m')
      .option('--memory <amount>', 'memory that each pod asks for and may take, such as 8Gi')
      .option('--queue-secret <name>', 'secret whose key `url` is a Redis URL; adds workers that scale with the queue')
      .option('--queue-address <host:port>', 'Redis without credentials, for the scaler', 'redis:6379')
      .option('--queue-name <stream>', 'stream of the jobs', 'predictions')
      .option('--queue-tls', 'the scaler connects to Redis with TLS', false)
      .option('--queue-username-key <key>', 'key of the secret that holds the user alone, for the scaler')
      .option('--queue-password-key <key>', 'key of the secret that holds the password alone, for the scaler')
      .option('--max-workers <count>', 'most workers', '10')
  },
  async run(args, options, io) {
    const flags = options as unknown as KubernetesFlags
    const image = imageOf(args[0] ?? '', io)
    const name = flags.name ?? nameOf(image)
    if (!/^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$/.test(name)) {
      throw new BuildError('USAGE', `Not a name for Kubernetes objects: \`${name}\``, {
        hint: 'Choose one with --name: small letters, digits and dashes, a letter first.',
      })
    }
    const objects = makeKubernetesObjects({
      image,
      name,
      replicas: count('--replicas', flags.replicas),
      gpus: count('--gpus', flags.gpus),
      cpu: quantity('--cpu', flags.cpu),
      memory: quantity('--memory', flags.memory),
      ...(flags.queueSecret === undefined
        ? {}
        : {
            queue: {
              secret: flags.queueSecret,
              address: flags.queueAddress,
              stream: flags.queueName,
              isTls: flags.queueTls,
              usernameKey: flags.queueUsernameKey,
              passwordKey: flags.queuePasswordKey,
              maxReplicas: count('--max-workers', flags.maxWorkers),
            },
          }),
    })
    io.stdout.write(objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join('---\n'))
  },
}

/** `layerwright deploy`: prints what other systems need to run an image. */
export const command: Command = {
  define() {},
  async run() {},
  subcommands: [
    {
      name: 'kubernetes',
      group: 'Run',
      summary: 'print Deployment, Service and, with a queue, workers that scale',
      load: () => Promise.resolve({ command: kubernetes }),
    },
  ],
}

/** What a cluster can pull: an image in a registry. */
function imageOf(text: string, io: Io): string {
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

/** @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
function quantity(flag: string, text: string | undefined): string | undefined {
  if (text !== undefined && !/^\d+(?:\.\d+)?(?:m|[kMGTPE]i?|Ki)?$/.test(text))
    throw new BuildError('USAGE', `${flag} is not an amount that Kubernetes knows: \`${text}\``, {
      hint: 'Amounts look like 2, 500m, 8Gi or 500Mi.',
    })
  return text
}

function nameOf(image: string): string {
  const path = image.split('@')[0]?.split('/').at(-1)?.split(':')[0] ?? ''
  return path
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
}

function count(flag: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0) throw new BuildError('USAGE', `${flag} must be a number: \`${text}\``)
  return value
}
