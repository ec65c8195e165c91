import { BuildError } from '../core/errors.ts'
import { pathProblem } from '../core/archive-path.ts'

const FLAG_UTF8 = 0x0800
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Decodes a member's name.
 *
 * Without the UTF-8 flag only ASCII is taken: readers disagree about everything else.
 *
 * @throws BuildError ARCHIVE_INVALID
 */
export function decodeName(bytes: Uint8Array, flags: number, what: string): string {
  if ((flags & FLAG_UTF8) === 0 && bytes.some((byte) => byte > 0x7f))
    throw refuse(what, Buffer.from(bytes).toString('latin1'), 'is not ASCII and not marked as UTF-8')
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw refuse(what, Buffer.from(bytes).toString('latin1'), 'is not UTF-8', cause)
  }
}

/**
 * Refuses names that are unsafe, or that cannot all exist in one folder of every file system: doubles, twins that
 * differ in case or Unicode form only, and a file where another name needs a folder.
 *
 * @throws BuildError ARCHIVE_INVALID
 */
export function checkNames(
  entries: readonly { readonly name: string; readonly isDirectory: boolean }[],
  what: string,
): void {
  const seen = new Map<string, string>()
  const files = new Set<string>()
  for (const { name, isDirectory } of entries) {
    const path = isDirectory ? name.slice(0, -1) : name
    const problem = pathProblem(path)
    if (problem !== undefined) throw refuse(what, name, problem)
    const folded = foldName(path)
    const twin = seen.get(folded)
    if (twin !== undefined)
      throw refuse(what, name, twin === path ? 'appears twice' : `differs from \`${twin}\` only in letter case or form`)
    seen.set(folded, path)
    if (!isDirectory) files.add(path)
  }
  for (const { name } of entries) {
    for (let slash = name.indexOf('/'); slash >= 0 && slash < name.length - 1; slash = name.indexOf('/', slash + 1)) {
      if (files.has(name.slice(0, slash))) throw refuse(what, name, 'lies under a path that is a file')
    }
  }
}

function foldName(path: string): string {
  return path.normalize('NFC').toLowerCase()
}

function refuse(what: string, name: string, problem: string, cause?: unknown): BuildError {
  return new BuildError(
    'ARCHIVE_INVALID',
    `${what} is not a sound zip archive: the name ${JSON.stringify(name)} ${problem}`,
    {
      cause,
    },
  )
}
