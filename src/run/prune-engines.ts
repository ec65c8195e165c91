import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../core/make-folder.ts'
import type { BackendName } from './container.ts'
import { run, type Host } from './host.ts'
import { isRunName } from './run-name.ts'
import { which } from './which.ts'

/** An image that was handed to an engine for running. */
export interface HandedImage {
  readonly engine: BackendName
  readonly name: string
  /** As the engine counts; layers that it shares with other images included. */
  readonly sizeBytes: number
}

/** How {@link pruneEngines} chooses. */
export interface PruneEnginesOptions {
  /** Only what was not run for this long; everything unless given. */
  readonly olderThanMs?: number | undefined
  readonly isDryRun?: boolean | undefined
  readonly now?: () => number
}

const ENGINES = ['podman', 'docker', 'nerdctl'] as const
/** In a container's work folder, so that it is there for as long as the container. */
const IN_USE = 'engine-image'

/**
 * Notes that an engine is about to run an image.
 *
 * @param workFolder of the container, two below the folder of what is unpacked
 */
export async function markHanded(workFolder: string, engine: BackendName, name: string): Promise<void> {
  writeFileSync(join(workFolder, IN_USE), name)
  const folder = notesIn(join(workFolder, '..', '..'))
  await makeFolder(folder, 0o700)
  writeFileSync(join(folder, noteOf(engine, name)), '')
}

/**
 * Takes the images away that were handed to engines for running, and that no container uses; they are handed over again when they
 * are needed. Known by their name; another name for the same image, and its layers with it, stays.
 *
 * Only engines that this store has handed something to are asked, and those that do not answer are passed over. What was not
 * noted here, such as what another store handed over, counts as used now where only old ones are wanted.
 *
 * @returns what was taken away, or would be
 */
export async function pruneEngines(
  storeFolder: string,
  env: Host['env'],
  options: PruneEnginesOptions = {},
): Promise<readonly HandedImage[]> {
  const rootfs = join(storeFolder, 'rootfs', String(process.getuid?.() ?? 0))
  const busy = namesInUse(rootfs)
  const noted = list(notesIn(rootfs))
  const beforeMs = (options.now ?? Date.now)() - (options.olderThanMs ?? 0)
  const pruned = ENGINES.map(async (engine): Promise<HandedImage[]> => {
    const program = which(engine, env)
    if (program === undefined || !noted.some((note) => note.startsWith(`${engine}-`))) return []
    const removed: HandedImage[] = []
    for (const name of await unusedImages(program, env)) {
      const note = join(notesIn(rootfs), noteOf(engine, name))
      if (busy.has(name) || (options.olderThanMs !== undefined && usedMs(note) > beforeMs)) continue
      const size = await run([program, 'image', 'inspect', '--format', '{{.Size}}', name], env)
      // Never by force: what a container still uses is refused.
      if (options.isDryRun !== true && (await run([program, 'rmi', name], env, 120_000)).status !== 0) continue
      if (options.isDryRun !== true) rmSync(note, { force: true })
      removed.push({ engine, name, sizeBytes: Number(size.stdout) || 0 })
    }
    return removed
  })
  return (await Promise.all(pruned)).flat()
}

async function unusedImages(program: string, env: Host['env']): Promise<readonly string[]> {
  const images = await run([program, 'images', '--format', '{{.Repository}}:{{.Tag}}'], env)
  const ours = lines(images.stdout).filter(isRunName)
  if (images.status !== 0 || ours.length === 0) return []
  const containers = await run([program, 'ps', '--all', '--format', '{{.Image}}'], env)
  if (containers.status !== 0) return []
  const used = new Set(lines(containers.stdout))
  return ours.filter((name) => !used.has(name))
}

function lines(text: string): string[] {
  return [...new Set(text.split('\n').map((line) => line.trim()))]
}

/** Of runs of living processes, which may not have started their container yet. */
function namesInUse(rootfs: string): ReadonlySet<string> {
  const folder = join(rootfs, 'tmp')
  const files = list(folder)
    .filter((name) => existsSync(`/proc/${/^run-(\d+)-/.exec(name)?.[1]}`))
    .map((name) => join(folder, name, IN_USE))
  return new Set(files.filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8')))
}

function list(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

function usedMs(note: string): number {
  return statSync(note, { throwIfNoEntry: false })?.mtimeMs ?? Infinity
}

function notesIn(rootfs: string): string {
  return join(rootfs, 'handed')
}

function noteOf(engine: BackendName, name: string): string {
  return `${engine}-${name.slice(name.lastIndexOf(':') + 1)}`
}
