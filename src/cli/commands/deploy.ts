import { stringify } from 'yaml'
import { BuildError } from '../../core/errors.ts'
import { makeKubernetesObjects } from '../../deploy/kubernetes.ts'
import type { Command } from '../command.ts'

interface KubernetesFlags {
  readonly name?: string
  readonly replicas: string
  readonly gpus: string
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
    const image = args[0] ?? ''
    const name = flags.name ?? nameOf(image)
    if (!/^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$/.test(name)) {
      throw new BuildError('USAGE', `Not a name for Kubernetes objects: \`${name}\``, {
        hint: 'Choose one with --name.',
      })
    }
    const objects = makeKubernetesObjects({
      image,
      name,
      replicas: count('--replicas', flags.replicas),
      gpus: count('--gpus', flags.gpus),
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
