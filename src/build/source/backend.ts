import { copyFile, lstat, mkdir, mkdtemp, readFile, realpath, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Digest } from 'oci-spec-types'
import type { Layer } from '../../../layers/layer.ts'
import { BuildError, isBuildError, systemErrorCode } from '../../core/errors.ts'
import { packageRoot } from '../../core/package-root.ts'
import { startTask } from '../../core/progress.ts'
import { temporaryName } from '../../core/temporary-name.ts'
import { removeTree } from '../../run/unpack/remove-tree.ts'
import { runStep } from '../../run/step.ts'
import type { SourceContext } from './context.ts'
import { explainFailure } from './explain-failure.ts'
import { BUILD_PREFIX, type BuildSite } from './site.ts'
import type { BuildSystem } from './static-metadata.ts'

/** Metadata of people's packages; the largest known has 1 MB. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20

/** A source as a file in the store, with what its build is told. */
export interface BuildableSource {
  /** For people: `name 1.0`, or an address. */
  readonly title: string
  readonly archive: Digest
  /** True when everything lies below one top folder that counts for nothing. */
  readonly hasTopFolder: boolean
  readonly subdirectory?: string | undefined
  readonly system: BuildSystem
}

/** What a backend is asked. */
export interface BackendQuestion {
  readonly task: 'metadata' | 'wheel'
  readonly source: BuildableSource
  readonly site: BuildSite
  /** The build's environment, on top of the site's layers. */
  readonly requirements: readonly Layer[]
  /** Requirements beyond the stated ones that the backend asked for and that are there now. */
  readonly granted: readonly string[]
}

/** What it answers. */
export type BackendAnswer =
  | { readonly kind: 'metadata'; readonly text: string }
  /** A file in a folder that is there only for `use`. */
  | { readonly kind: 'wheel'; readonly filename: string; readonly path: string }
  | { readonly kind: 'requires'; readonly requires: readonly string[] }

/**
 * Asks a source's build backend, in a sandbox that holds the image's lower layers and the build's requirements.
 *
 * The project is not visible there, and no secret is: it is somebody else's code.
 *
 * @param use gets the answer, while its files are there
 * @throws BuildError RUN_FAILED with the end of the build's output; HOST_UNSUPPORTED where nothing can run it
 */
export async function askBackend<T>(
  question: BackendQuestion,
  context: SourceContext,
  use: (answer: BackendAnswer) => Promise<T>,
): Promise<T> {
  const { source, site, task: kind } = question
  const folder = await mkdtemp(join(context.store.folder, 'tmp', `${temporaryName('source')}-`))
  const task = startTask(context.report, kind === 'wheel' ? `build ${source.title}` : `metadata of ${source.title}`)
  try {
    await prepare(folder, question, context)
    await runStep(
      {
        layers: [...site.layers, ...question.requirements],
        platform: site.platform,
        config: { Env: environment(site), WorkingDir: '/build' },
        command: `exec /${BUILD_PREFIX}/bin/python -I /build/build-wheel.py`,
        binds: [{ source: folder, destination: '/build', options: ['nosuid', 'nodev'] }],
        network: context.network,
        epochSeconds: context.epochSeconds,
        output: (text) => context.report({ type: 'output', id: task.id, text }),
        signal: context.signal,
      },
      { storeFolder: context.store.folder, env: context.env, report: context.report },
      async () => {},
    )
    const value = await use(await readAnswer(folder, source))
    task.end()
    return value
  } catch (error) {
    const explained = isBuildError(error, 'RUN_FAILED') ? explainFailure(source.title, error) : error
    task.end('failed', explained instanceof Error ? explained.message : String(explained))
    throw explained
  } finally {
    removeTree(folder)
  }
}

async function prepare(folder: string, question: BackendQuestion, { store }: SourceContext): Promise<void> {
  const { source, task, granted } = question
  const { backend, backendPath } = source.system
  const request = {
    task,
    strip: source.hasTopFolder,
    subdirectory: source.subdirectory ?? '',
    backend,
    backendPath,
    granted,
  }
  await writeFile(join(folder, 'request.json'), JSON.stringify(request))
  await copyFile(join(packageRoot(), 'python', 'build-wheel.py'), join(folder, 'build-wheel.py'))
  await mkdir(join(folder, 'out'))
  // Not the store's own file: the build may write to it.
  await copyFile(store.path(source.archive), join(folder, 'source'))
}

function environment({ env }: BuildSite): string[] {
  const path = env.find((line) => line.startsWith('PATH='))?.slice('PATH='.length)
  const rest = path ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return [
    ...env.filter((line) => !line.startsWith('PATH=')),
    `PATH=/${BUILD_PREFIX}/bin:${rest}`,
    `VIRTUAL_ENV=/${BUILD_PREFIX}`,
    'HOME=/tmp',
  ]
}

/** The build wrote it, so nothing of it is believed before it was looked at; links could lead out of the folder. */
async function readAnswer(folder: string, { title }: BuildableSource): Promise<BackendAnswer> {
  const refuse = (why: string): BuildError => new BuildError('RUN_FAILED', `The build of \`${title}\` ${why}`)
  const file = join(folder, 'result.json')
  if (!(await isPlainFile(file, folder, MAX_ANSWER_BYTES))) throw refuse('left no result')
  let answer: unknown
  try {
    answer = JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    throw new BuildError('RUN_FAILED', `The build of \`${title}\` left a result that is not JSON`, { cause })
  }
  const { requires, metadata, wheel } = (answer ?? {}) as Readonly<Record<string, unknown>>
  if (isTexts(requires)) return { kind: 'requires', requires }
  if (typeof metadata === 'string') return { kind: 'metadata', text: metadata }
  if (typeof wheel !== 'string' || !/^[^/\0]+\.whl$/.test(wheel)) throw refuse('answered something that means nothing')
  const path = join(folder, 'out', wheel)
  if (!(await isPlainFile(path, folder, Infinity))) throw refuse(`names a wheel that is no file: ${wheel}`)
  return { kind: 'wheel', filename: wheel, path }
}

async function isPlainFile(path: string, folder: string, limitBytes: number): Promise<boolean> {
  try {
    const real = await realpath(path)
    const stats = await lstat(path)
    return real === join(await realpath(folder), relative(folder, path)) && stats.isFile() && stats.size <= limitBytes
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false
    throw error
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
