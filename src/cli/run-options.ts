import { isAbsolute, resolve } from 'node:path'
import type { Command as Program } from 'commander'
import { loadCdi } from '../run/cdi/registry.ts'
import { evaluateRequirements } from '../run/gpu/requirements.ts'
import { defaultGpus, resolveGpus } from '../run/gpu/resolve-gpus.ts'
import { assertRunnable } from '../run/runnable.ts'
import { BACKEND_NAMES, type BindMount } from '../run/container.ts'
import type { DeviceEdits, RunContext } from '../run/run-container.ts'
import { BuildError, isBuildError } from '../core/errors.ts'
import { choosePlatform, formatPlatform, hostPlatform } from '../destinations/platform.ts'
import { isImageIndex, type Image, type ImageIndex } from '../image/image.ts'
import { holdStore } from '../store/lease.ts'
import { append } from './append.ts'
import type { Io } from './command.ts'

/** What all commands that run an image take. */
export interface RunOptions {
  readonly env: readonly string[]
  readonly volume: readonly string[]
  readonly gpus?: string
  readonly runtime?: string
  readonly insecure?: boolean
  /** Configuration of the project that is built when no image is named. */
  readonly file?: string
}

/** Adds the options of {@link RunOptions}. */
export function defineRunOptions(program: Program): void {
  program
    .option(
      '-e, --env <name=value>',
      'environment variable; the name alone takes over its value here; repeatable',
      append,
      [],
    )
    .option(
      '-v, --volume <source:target[:ro]>',
      'file or folder of this machine in the container; repeatable',
      append,
      [],
    )
    .option(
      '--gpus <devices>',
      '`all`, numbers such as `0,1`, CDI names, or `none`; all for an image that asks for them',
    )
    .option('--runtime <name>', `what runs the container: ${BACKEND_NAMES.join(', ')}`)
    .option('--insecure', 'allow plain HTTP and untrusted certificates')
    .option('-f, --file <name>', 'name of the configuration file instead of cog.yaml, where no image is named')
}

/** An image and how to run it, as the command line says. */
export interface Runnable {
  readonly image: Image
  readonly env: Readonly<Record<string, string>>
  readonly binds: readonly BindMount[]
  readonly devices: DeviceEdits | undefined
  readonly context: RunContext
}

/**
 * Finds the image and reads the common options.
 *
 * @param name as a user wrote it; undefined for the project of the current folder, which is built first, as Cog does
 */
export async function openRunnable(name: string | undefined, options: RunOptions, io: Io): Promise<Runnable> {
  const env = parseEnvironment(options.env, io.env)
  const binds = options.volume.map((word) => parseVolume(word, io.cwd))
  const project = options.file ?? '.'
  if (name === undefined) await buildProject(project, io)
  const { openWorld, findImage, projectImageName } = await import('./world.ts')
  const world = await openWorld(io, { insecure: options.insecure })
  // Prune must not take away what is unpacked or running. The lease ends with this process, however that ends.
  await holdStore(world.store.folder)
  const wanted = name ?? (await projectImageName(resolve(io.cwd, project)))
  const image = imageForHost(await findImage(wanted, world, io))
  const { report } = io
  const cdi = loadCdi((io.env['LAYERWRIGHT_CDI_DIRS'] || undefined)?.split(':'))
  const driverRoot = io.env['LAYERWRIGHT_NVIDIA_ROOT']
  const gpuContext = { report, cdi, driverRoot, checkRequirements: evaluateRequirements }
  const runtime = image.config.config ?? {}
  const devices =
    options.gpus === undefined ? defaultGpus(runtime, gpuContext) : resolveGpus(options.gpus, runtime, gpuContext)
  const context = { storeFolder: world.store.folder, env: io.env, runtime: options.runtime, report }
  return { image, env, binds, devices, context }
}

async function buildProject(project: string, io: Io): Promise<void> {
  const { buildLocally } = await import('./run-build.ts')
  try {
    await buildLocally(project, io)
  } catch (error) {
    if (!isBuildError(error, 'CONFIG_MISSING')) throw error
    const hint = 'Name an image (`exec` takes it as `--image`), or run this in the folder of a project.'
    throw new BuildError('CONFIG_MISSING', error.message, { hint, cause: error.cause })
  }
}

/** The image, or that of an index, which this machine runs. @throws BuildError PLATFORM_NOT_FOUND, HOST_UNSUPPORTED */
function imageForHost(found: Image | ImageIndex): Image {
  if (!isImageIndex(found)) {
    // Elsewhere engines run everything in a machine of their own, which may emulate others.
    if (process.platform === 'linux') assertRunnable(found.config)
    return found
  }
  const entry = choosePlatform(found.index.manifests, hostPlatform())
  const member = found.images.find(({ image }) => image.descriptor.digest === entry?.digest)
  if (member !== undefined) return member.image
  const platforms = found.images.map(({ platform }) => formatPlatform(platform))
  throw new BuildError('PLATFORM_NOT_FOUND', `The image is not for this machine: ${formatPlatform(hostPlatform())}`, {
    hint: `It is for ${platforms.join(', ')}.`,
  })
}

/** Reads `NAME=value` and `NAME` words. @throws BuildError USAGE */
export function parseEnvironment(words: readonly string[], env: Io['env']): Record<string, string> {
  return Object.fromEntries(
    words.flatMap((word): [string, string][] => {
      const equals = word.indexOf('=')
      if (equals === 0 || word === '') throw new BuildError('USAGE', `Not an environment variable: \`${word}\``)
      if (equals > 0) return [[word.slice(0, equals), word.slice(equals + 1)]]
      const value = env[word]
      return value === undefined ? [] : [[word, value]]
    }),
  )
}

/** Reads `SOURCE:TARGET[:ro]`. @throws BuildError USAGE */
export function parseVolume(word: string, folder: string): BindMount {
  const [source = '', destination = '', mode = 'rw', ...rest] = word.split(':')
  if (source === '' || !isAbsolute(destination) || rest.length > 0 || (mode !== 'ro' && mode !== 'rw')) {
    throw new BuildError('USAGE', `Not a volume: \`${word}\``, { hint: 'Write SOURCE:/TARGET, or SOURCE:/TARGET:ro.' })
  }
  return { source: resolve(folder, source), destination, options: mode === 'ro' ? ['ro'] : [] }
}
