import { createGunzip } from 'node:zlib'
import { posix } from 'node:path'
import { pathProblem } from '../../src/core/archive-path.ts'
import { BuildError } from '../../src/core/errors.ts'
import { maskUrl } from '../../src/core/http.ts'
import type { RemoteFile } from '../../src/core/remote-file.ts'
import { through } from '../compress.ts'
import { explainUnread, openForwards, type LayerContext } from '../context.ts'
import type { Entry } from '../entry.ts'
import { parentsOf } from '../paths.ts'
import { readTar, type TarMember } from '../tar.ts'
import { indexingOf, layerOfLarge } from '../threaded-layer.ts'
import { inlineEntry, type InlineFile } from './inline.ts'
import type { LayerKind } from './kind.ts'

/** A `.tar.gz` by content, such as a relocatable Python, laid under a folder without its own top folder. */
export interface ArchiveLayerSpec {
  readonly kind: 'archive'
  /** What it is, for the history line. */
  readonly label: string
  readonly archive: RemoteFile
  /** Without a leading slash, such as `opt/python`. */
  readonly target: string
  /** Top folders to drop from every name; 1 for most archives. */
  readonly strip: number
  /** Paths below the target, after stripping, that are left out with all below them. */
  readonly leaveOut?: readonly string[] | undefined
  /** Files and links to add after the archive's. */
  readonly extra?: readonly InlineFile[] | undefined
}

/** Lays an archive. Owners become root, modes are kept without setuid, times are the archive's own. */
export const archiveKind: LayerKind<ArchiveLayerSpec> = {
  kind: 'archive',
  make: (spec, context) => {
    const { compression, checks } = context
    const indexing = indexingOf(context, `The layer ${spec.label}`)
    return layerOfLarge(entriesOf(spec, context), { compression, checks, indexing })
  },
}

async function* entriesOf(spec: ArchiveLayerSpec, context: LayerContext): AsyncGenerator<Entry> {
  const what = maskUrl(spec.archive.url)
  const source = await openForwards(spec.archive, context)
  const laid = new Laid()
  try {
    const bytes = through(source.stream(0, source.sizeBytes), createGunzip({ chunkSize: 1 << 17 }))
    for await (const member of readTar(explained(bytes, what), what)) {
      context.signal?.throwIfAborted()
      const path = place(member.name, spec, what)
      if (path === undefined) continue
      yield* laid.add(path, member.type === 'directory', what)
      yield entryOf(member, path, spec, what, laid)
    }
    await source.prove?.()
    for (const file of spec.extra ?? []) {
      yield* laid.add(file.path, 'directory' in file, what)
      yield inlineEntry(file)
    }
  } catch (error) {
    throw await explainUnread(error, source)
  } finally {
    await source.close()
  }
}

/** What was laid so far: a path once, folders before their content, nothing below a link. */
class Laid {
  readonly #paths = new Map<string, 'directory' | 'other' | 'file'>()

  /** The directories that must come before a path. Marks the path itself. */
  add(path: string, isDirectory: boolean, what: string): readonly Entry[] {
    const parents: Entry[] = []
    for (const parent of parentsOf([path])) {
      const known = this.#paths.get(parent)
      if (known === undefined) {
        this.#paths.set(parent, 'directory')
        parents.push({ kind: 'directory', path: parent, mode: 0o755 })
      } else if (known !== 'directory') throw invalid(what, `\`${path}\` lies below a path that is no folder`)
    }
    const known = this.#paths.get(path)
    if (known !== undefined && !(isDirectory && known === 'directory')) throw invalid(what, `\`${path}\` appears twice`)
    this.#paths.set(path, isDirectory ? 'directory' : 'other')
    return parents
  }

  markFile(path: string): void {
    this.#paths.set(path, 'file')
  }

  isFile(path: string): boolean {
    return this.#paths.get(path) === 'file'
  }
}

/** Where a member comes to lie; undefined when it is left out. @throws BuildError ARCHIVE_INVALID */
function place(name: string, spec: ArchiveLayerSpec, what: string): string | undefined {
  const clean = name.replace(/^(?:\.\/)+/, '').replace(/\/+$/, '')
  if (clean === '' || clean === '.') return undefined
  const problem = pathProblem(clean)
  if (problem !== undefined) throw invalid(what, `the name ${JSON.stringify(name)} ${problem}`)
  const rest = clean.split('/').slice(spec.strip).join('/')
  const isOut = spec.leaveOut?.some((path) => rest === path || rest.startsWith(`${path}/`)) === true
  return rest === '' || isOut ? undefined : `${spec.target}/${rest}`
}

function entryOf(member: TarMember, path: string, spec: ArchiveLayerSpec, what: string, laid: Laid): Entry {
  const { mtimeSeconds, sizeBytes, data } = member
  const mode = member.mode & 0o777
  switch (member.type) {
    case 'file':
    case 'contiguous-file':
      laid.markFile(path)
      return { kind: 'file', path, mode, mtimeSeconds, sizeBytes, open: () => data }
    case 'directory':
      return { kind: 'directory', path, mode: mode | 0o700, mtimeSeconds }
    case 'symlink': {
      const target = member.target ?? ''
      const lands = posix.normalize(posix.join(posix.dirname(path), target))
      if (target === '' || posix.isAbsolute(target) || !`${lands}/`.startsWith(`${spec.target}/`))
        throw invalid(what, `the link \`${path}\` leads out of the archive: ${JSON.stringify(target)}`)
      return { kind: 'symlink', path, mode: 0o777, mtimeSeconds, target }
    }
    case 'link': {
      const target = place(member.target ?? '', spec, what)
      if (target === undefined || !laid.isFile(target))
        throw invalid(what, `\`${path}\` is a hard link to no earlier file: ${JSON.stringify(member.target ?? '')}`)
      return { kind: 'hardlink', path, mode, mtimeSeconds, target }
    }
    default:
      throw invalid(what, `\`${path}\` is a ${member.type}`)
  }
}

async function* explained(bytes: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))
      throw new BuildError('ARCHIVE_INVALID', `${what} is not a sound gzip file: ${error.message}`, { cause: error })
    throw error
  }
}

function invalid(what: string, problem: string): BuildError {
  return new BuildError('ARCHIVE_INVALID', `${what} cannot be laid down: ${problem}`)
}
