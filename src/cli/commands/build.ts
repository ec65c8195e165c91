import { resolve } from 'node:path'
import { Option, type Command as Program } from 'commander'
import type { PlannedBuild } from '../../build.ts'
import type { Destination } from '../../destinations/destination.ts'
import { parsePlatform } from '../../resolve/resolve.ts'
import type { Command, Io } from '../command.ts'
import type { World } from '../world.ts'

/** What the options of `build` and of `push` say. */
export interface BuildOptions {
  readonly tag: readonly string[]
  readonly output: readonly string[]
  readonly push?: boolean
  readonly load?: boolean
  readonly platform: readonly string[]
  readonly format: 'oci' | 'docker'
  readonly refresh?: boolean
  readonly locked?: boolean
  readonly file?: string
  readonly iidfile?: string
  readonly metadataFile?: string
  readonly insecure?: boolean
  readonly json?: boolean
}

/** `layerwright build` */
export const command: Command = {
  define(program) {
    defineBuildOptions(program)
    program.option('--push', 'push the image under each name to its registry')
  },
  async run(args, options, io) {
    await runBuild(args[0] ?? '.', options as unknown as BuildOptions, io)
  },
}

/** Adds what `build` and `push` have in common. */
export function defineBuildOptions(program: Program, { isProjectOption = false } = {}): void {
  const project = 'folder of the project, or its cog.yaml'
  if (isProjectOption) program.option('-C, --project <folder>', project, '.')
  else program.argument('[project]', project, '.')
  program
    .option('-t, --tag <name>', 'name of the image; repeatable', append, [])
    .option(
      '-o, --output <location>',
      'where the image goes: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE, docker://REF; repeatable',
      append,
      [],
    )
    .option('-f, --file <name>', 'name of the configuration file instead of cog.yaml')
    .option('--platform <os/arch>', 'platform in place of build.platforms; repeatable', append, [])
    .addOption(new Option('--format <format>', 'media types of the image').choices(['oci', 'docker']).default('oci'))
    .option('--load', 'hand the image to the docker, podman or nerdctl that is there')
    .option('--refresh', 'ask indexes and registries again, whatever is known')
    .option('--locked', 'use the lock file and ask nobody')
    .option('--iidfile <file>', "write the image's digest to a file")
    .option('--metadata-file <file>', 'write digest, names and platforms to a JSON file')
    .option('--insecure', 'allow plain HTTP and untrusted certificates')
    .option('--json', 'print the result as JSON')
}

function append(value: string, list: readonly string[]): string[] {
  return [...list, value]
}

/** Builds, writes to every destination and prints the result. */
export async function runBuild(project: string, options: BuildOptions, io: Io): Promise<void> {
  const platforms = options.platform
    .flatMap((text) => text.split(','))
    .map((text) => {
      const { os, architecture } = parsePlatform(text)
      return `${os}/${architecture}` as const
    })
  const [{ openWorld }, { build }] = await Promise.all([import('../world.ts'), import('../../build.ts')])
  const world = await openWorld(io, { insecure: options.insecure })
  let places: readonly string[] = []
  const result = await build(
    {
      project: resolve(io.cwd, project, options.file ?? ''),
      mode: options.locked === true ? 'locked' : options.refresh === true ? 'refresh' : 'auto',
      format: options.format,
      ...(platforms.length === 0 ? {} : { platforms }),
    },
    async (planned) => {
      const opened = await openPlaces(planned, options, world, io)
      places = opened.map(({ name }) => name)
      return opened
    },
    world.context,
  )
  const { writeFileAtomically } = await import('../../core/atomic-file.ts')
  const summary = { digest: result.digest, destinations: places, platforms: result.platforms }
  if (options.iidfile !== undefined) await writeFileAtomically(resolve(io.cwd, options.iidfile), `${result.digest}\n`)
  if (options.metadataFile !== undefined) {
    // The names that CI actions read from `docker buildx build --metadata-file`.
    const metadata = { 'containerimage.digest': result.digest, 'image.name': places.join(','), ...summary }
    await writeFileAtomically(resolve(io.cwd, options.metadataFile), `${JSON.stringify(metadata, undefined, 2)}\n`)
  }
  io.stdout.write(options.json === true ? `${JSON.stringify(summary)}\n` : `${result.digest}\n`)
}

/** Where the image goes: `-o` places, registries with `--push`, else the local store under its names. */
async function openPlaces(
  planned: PlannedBuild,
  options: BuildOptions,
  world: World,
  io: Io,
): Promise<readonly Destination[]> {
  const { localImage, resolvePath } = await import('../world.ts')
  const names = options.tag.length > 0 ? options.tag : [planned.imageName]
  const isPushed = options.push === true
  const opened: Destination[] = []
  for (const location of options.output) opened.push(await world.open(resolvePath(location, io.cwd)))
  if (isPushed) for (const name of names) opened.push(await world.open(`docker://${name}`))
  const staysHere = !isPushed && (options.tag.length > 0 || options.output.length === 0)
  if (staysHere) for (const name of names) opened.push(await world.open(localImage(world.store, name)))
  return opened
}
