import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { maskAddresses } from '../core/mask.ts'
import { removeLeft, temporaryName } from '../core/temporary-name.ts'
import type { PlannedStep } from '../plan/plan.ts'
import type { BindMount } from '../run/container.ts'

/** Where a secret's value is; the value itself is read when a step needs it, and held nowhere. */
export type Secret =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'variable'; readonly name: string }

/** What a step needs for its secrets. */
export interface BoundSecrets {
  readonly binds: readonly BindMount[]
  /** Puts `***` in the place of every secret line. */
  readonly mask: (text: string) => string
}

/** Anything shorter is found in too many lines that have nothing to do with it. */
const SHORTEST_MASKED = 6
/** A file larger than this is no password, and a search for each of its lines takes long. */
const LARGEST_MASKED_BYTES = 65_536

/**
 * Lends a step its secrets as files. The value of a variable is in a file only while `work` runs: in memory where the
 * machine has a folder there, and readable by this user alone.
 *
 * @throws BuildError USAGE for a secret that was not given, or whose file or variable is gone
 */
export async function withSecrets<T>(
  step: Pick<PlannedStep, 'command' | 'mounts'>,
  secrets: ReadonlyMap<string, Secret>,
  env: Readonly<Record<string, string | undefined>>,
  work: (bound: BoundSecrets) => Promise<T>,
): Promise<T> {
  const lent: { folder?: string } = {}
  try {
    const binds: BindMount[] = []
    const values: string[] = []
    for (const mount of step.mounts) {
      if (mount.type !== 'secret') continue
      const { id, target } = mount
      const secret = secrets.get(id)
      if (secret === undefined) throw notGiven(id, step.command)
      if (secret.kind === 'file') {
        values.push(await readValue(id, secret.path))
        binds.push({ source: secret.path, destination: target, options: ['ro', 'nosuid', 'nodev'] })
        continue
      }
      const value = secretVariable(id, secret.name, env)
      lent.folder ??= await memoryFolder(env)
      const source = join(lent.folder, String(binds.length))
      await writeFile(source, value, { mode: 0o400 })
      values.push(value)
      // What holds for the folder's file system cannot be lifted in a user namespace, so all of it is asked for.
      binds.push({ source, destination: target, options: ['ro', 'nosuid', 'nodev', 'noexec'] })
    }
    return await work({ binds, mask: maskOf(values) })
  } finally {
    if (lent.folder !== undefined) await rm(lent.folder, { recursive: true, force: true })
  }
}

/** The value of a secret's variable. @throws BuildError USAGE when it is not set, or empty */
export function secretVariable(id: string, name: string, env: Readonly<Record<string, string | undefined>>): string {
  const value = env[name]
  if (value) return value
  const state = value === undefined ? 'not set' : 'empty'
  throw new BuildError('USAGE', `The variable \`${name}\` of the secret \`${id}\` is ${state}`, {
    hint: 'In CI, secrets are often withheld from builds of forks and of unprotected branches.',
  })
}

function notGiven(id: string, command: string): BuildError {
  return new BuildError(
    'USAGE',
    `The step needs the secret \`${id}\`, which was not given: ${maskAddresses(command)}`,
    { hint: `Give it to the build: layerwright build --secret id=${id},src=FILE (or env=VARIABLE)` },
  )
}

/** What of a file is masked; nothing of a large one. */
async function readValue(id: string, path: string): Promise<string> {
  try {
    return (await stat(path)).size > LARGEST_MASKED_BYTES ? '' : await readFile(path, 'utf8')
  } catch (cause) {
    throw new BuildError('USAGE', `The file of the secret \`${id}\` cannot be read`, { cause })
  }
}

function maskOf(values: readonly string[]): (text: string) => string {
  const lines = values.flatMap((value) => value.split(/\r?\n/)).map((line) => line.trim())
  // The longest first: one may be a part of another.
  const secret = [...new Set(lines.filter((line) => line.length >= SHORTEST_MASKED))].sort(
    (a, b) => b.length - a.length,
  )
  return (text) => secret.reduce((masked, line) => masked.replaceAll(line, '***'), text)
}

const KIND = 'layerwright.secret'

/** A folder of this user's own, on no disk if that can be had. Those of processes that were killed are removed. */
async function memoryFolder(env: Readonly<Record<string, string | undefined>>): Promise<string> {
  for (const place of [env['XDG_RUNTIME_DIR'], '/dev/shm', tmpdir()]) {
    if (!place) continue
    try {
      await removeLeft(place, KIND)
      return await mkdtemp(join(place, `${temporaryName(KIND)}-`))
    } catch (error) {
      // Not there, or not to be written: the next place may be.
      if (systemErrorCode(error) === undefined) throw error
    }
  }
  throw new BuildError('FILE_UNWRITABLE', `A secret needs a folder to be lent in: \`${tmpdir()}\` cannot be written`)
}
