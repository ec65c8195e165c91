import { stringify } from 'yaml'
import { parseReference } from '../../../registry/reference.ts'
import { BuildError } from '../../core/errors.ts'
import { VERSION_HEADER } from '../../core/version-header.ts'
import { makeKubernetesObjects, type KubernetesObject } from '../../deploy/kubernetes.ts'
import { makeSplitObjects, objectName, parseSplit } from '../../deploy/split.ts'
import { append } from '../append.ts'
import type { Command, Io } from '../command.ts'
import {
  checkName,
  gatewayOf,
  hostnamesOf,
  imageOf,
  nameOf,
  podsOf,
  queueOf,
  type KubernetesFlags,
} from '../kubernetes-flags.ts'

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
      .option(
        '--split <versions>',
        `tags of the image with their shares of the requests, such as v1=90,v2=10; \`${VERSION_HEADER}: v2\` reaches v2 by name`,
      )
      .option('--gateway <name>', 'gateway that the HTTPRoute of --split joins; NAMESPACE/NAME for one elsewhere')
      .option('--hostname <host>', 'host whose requests --split is for; can be given several times', append, [])
      .option('--insecure', 'allow plain HTTP and untrusted certificates when --split asks for digests', false)
  },
  async run(args, options, io) {
    const flags = options as unknown as KubernetesFlags
    const image = imageOf(args[0] ?? '', io)
    const name = checkName(flags.name ?? nameOf(image))
    const objects = flags.split === undefined ? oneVersion(image, name, flags) : await split(image, name, flags, io)
    io.stdout.write(objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join('---\n'))
  },
}

function oneVersion(image: string, name: string, flags: KubernetesFlags): readonly KubernetesObject[] {
  if (flags.gateway !== undefined || flags.hostname.length > 0)
    throw new BuildError('USAGE', '--gateway and --hostname are for the route of --split', {
      hint: 'Give --split, with one version (--split v1=100) if there is only one.',
    })
  const queue = flags.queueSecret === undefined ? undefined : queueOf(flags.queueSecret, flags)
  return makeKubernetesObjects({ image, name, ...podsOf(flags), queue })
}

async function split(
  image: string,
  name: string,
  flags: KubernetesFlags,
  io: Io,
): Promise<readonly KubernetesObject[]> {
  const versions = parseSplit(flags.split ?? '')
  for (const { tag } of versions) checkName(objectName(name, tag))
  const repository = parseReference(image)
  if (repository.tag !== undefined || repository.digest !== undefined)
    throw new BuildError('USAGE', `With --split the image is named without a tag or digest: \`${image}\``, {
      hint: 'The versions are its tags; TAG@DIGEST=WEIGHT says what one is.',
    })
  if (flags.queueSecret !== undefined)
    throw new BuildError('USAGE', '--split is for requests, not for the jobs of a queue', {
      hint: 'Give each version workers and a stream of its own: --name model-v2 --queue-name model-v2, without --split.',
    })
  const [gateway, hostnames] = [gatewayOf(flags.gateway), hostnamesOf(flags.hostname)]
  const { pinVersions } = await import('../pin-versions.ts')
  const pods = podsOf(flags)
  const pinned = await pinVersions(repository, versions, io, flags.insecure)
  return makeSplitObjects({ name, ...pods, versions: pinned, gateway, hostnames })
}

/** `layerwright deploy`: prints what other systems need to run an image. */
export const command: Command = {
  define() {},
  async run() {},
  subcommands: [
    {
      name: 'kubernetes',
      group: 'Run',
      summary: 'print Deployment, Service and, with a queue, workers that scale; several versions with --split',
      load: () => Promise.resolve({ command: kubernetes }),
    },
  ],
}
