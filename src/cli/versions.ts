import type { Access, RegistryClient } from '../../registry/client.ts'
import { formatFamiliar, parseReference, type Reference } from '../../registry/reference.ts'
import type { Registries } from '../../registry/registries.ts'
import type { Move } from '../versions/move-tag.ts'
import type { Io } from './command.ts'
import { oneLine, truncate } from './progress/format.ts'

/** The repository that a command is about. */
export interface Repository {
  readonly reference: Reference
  readonly registries: Registries
  readonly client: RegistryClient
}

/** What people see of a digest. */
export const SHORT_DIGEST = 'sha256:'.length + 12
const WIDEST = 60

/** A table for people; a cell without text is `-`. */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => truncate(oneLine(cell), WIDEST) || '-'))
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

/** Opens the repository of a reference. @throws BuildError REFERENCE_INVALID */
export async function openRepository(
  name: string,
  actions: Access['actions'],
  insecure: boolean,
  { env, report, signal }: Io,
): Promise<Repository> {
  const { Registries } = await import('../../registry/registries.ts')
  const reference = parseReference(name.replace(/^docker:\/\//, ''))
  const registries = new Registries({ env, report, signal, insecure })
  return { reference, registries, client: registries.client(reference, { actions }) }
}

/** Prints where a tag points now, as a reference that does not move, and says what was done. */
export function reportMove(move: Move, reference: Reference, isJson: boolean, io: Io): void {
  const { tag, from, to, number, isUnchanged } = move
  io.stdout.write(isJson ? `${JSON.stringify(move)}\n` : `${formatFamiliar({ ...reference, tag, digest: to })}\n`)
  const was = from === undefined ? 'it is new' : `it was ${from}`
  const text = isUnchanged
    ? `Nothing to do: \`${tag}\` means this image`
    : `\`${tag}\` is release ${number} now; ${was}`
  io.report({ type: 'note', level: 'info', text })
}
