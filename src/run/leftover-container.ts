import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BackendName } from './container.ts'
import { run, type Host } from './host.ts'
import { which } from './which.ts'

/** In a container's work folder, which stays behind when this process is killed outright. */
const NOTE = 'engine-container'

/** An engine's container of one run: its engine lets it live on when the command that started it is killed. */
export interface EngineContainer {
  readonly engine: BackendName
  /** Options between the program and its command. */
  readonly options: readonly string[]
  readonly name: string
}

/** The label by which a container is known to be ours, whatever it is named. */
export function ownLabel(name: string): string {
  return `run.layerwright.container=${name}`
}

/** Notes that an engine is about to start a container, for whoever finds the work folder without its process. */
export function noteContainer(workFolder: string, container: EngineContainer): void {
  writeFileSync(join(workFolder, NOTE), JSON.stringify(container))
}

/**
 * Takes a container away, running or not, if it is still there and has our label.
 *
 * @returns whether it is gone now; false where the engine does not answer
 */
export async function removeContainer({ engine, options, name }: EngineContainer, env: Host['env']): Promise<boolean> {
  const program = which(engine, env)
  // Without its program nobody else can run it either.
  if (program === undefined) return true
  const command = [program, ...options]
  const found = await run([...command, 'ps', '--all', '--quiet', '--filter', `label=${ownLabel(name)}`], env)
  if (found.status !== 0) return false
  const ids = found.stdout.split('\n').filter((id) => id !== '')
  if (ids.length === 0) return true
  // podman asks the container to end first, and waits ten seconds, where it is not told otherwise; before 4.0 it cannot be told.
  for (const options of engine === 'podman' ? [['--force', '--time=0'], ['--force']] : [['--force']]) {
    if ((await run([...command, 'rm', ...options, ...ids], env, 60_000)).status === 0) return true
  }
  return false
}

/**
 * Takes away the container that a killed process has left, if it had one with an engine.
 *
 * @param workFolder  of a process that is no more
 * @returns whether nothing is left that the folder is needed for
 */
export async function removeLeftover(workFolder: string, env: Host['env']): Promise<boolean> {
  const note = join(workFolder, NOTE)
  if (!existsSync(note)) return true
  const container = parseNote(readFileSync(note, 'utf8'))
  return container === undefined || removeContainer(container, env)
}

function parseNote(text: string): EngineContainer | undefined {
  try {
    return JSON.parse(text) as EngineContainer
  } catch {
    // Cut short: the process was killed before it started anything.
    return undefined
  }
}
