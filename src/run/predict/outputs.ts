import { statSync, writeFileSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { makeFolder } from '../../core/make-folder.ts'
import { decodePercent } from '../../core/percent.ts'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { extensionOf } from './media-type.ts'

/** A prediction's output with its files on disk. */
export interface WrittenOutput {
  /** The output; each file's data URI is replaced by its path. */
  readonly value: unknown
  /** Paths of the written files, in the order of the output. */
  readonly files: readonly string[]
}

/**
 * Writes the files of an output, which come as data URIs; everything else stays as it is.
 *
 * One file is `output.<extension>`, several are `output.0.<extension>`, ...; members of an object carry their name, unless
 * the file's is the same. With `target` it is that file instead of `output`, or in that folder. An output without files is written to `target` as
 * text or JSON.
 *
 * @throws BuildError FILE_UNWRITABLE, DISK_FULL
 */
export async function writeOutput(output: unknown, folder: string, target: string | undefined): Promise<WrittenOutput> {
  const path = resolve(folder, target ?? 'output')
  const isFolder = target !== undefined && (target.endsWith('/') || isDirectory(path))
  const base = isFolder ? join(path, 'output') : path
  const found: (readonly [file: string, bytes: Uint8Array])[] = []
  const value = replaceFiles(output, [], (data, names) => {
    const file = fileName(base, names, extension(data), target !== undefined && !isFolder)
    found.push([file, data.bytes])
    return file
  })
  for (const [file, bytes] of found) await write(file, bytes)
  if (found.length === 0 && target !== undefined) {
    const isText = typeof output === 'string'
    const file = isFolder ? `${base}.${isText ? 'txt' : 'json'}` : base
    await write(file, Buffer.from(isText ? output : `${JSON.stringify(output, undefined, 2)}\n`))
    return { value: file, files: [file] }
  }
  return { value, files: found.map(([file]) => file) }
}

/** A file inside an output. */
interface FileData {
  readonly mediaType: string
  /** The model's name for it, where the server tells; it may be anything. */
  readonly name: string | undefined
  readonly bytes: Buffer
}

function replaceFiles(
  value: unknown,
  names: readonly string[],
  place: (data: FileData, names: readonly string[]) => string,
): unknown {
  if (typeof value === 'string') {
    const data = parseDataUri(value)
    return data === undefined ? value : place(data, names)
  }
  if (Array.isArray(value)) return value.map((member, index) => replaceFiles(member, [...names, String(index)], place))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, replaceFiles(member, [...names, name], place)]),
  )
}

/** @see RFC 2397 */
export function parseDataUri(text: string): FileData | undefined {
  const match = /^data:([^,;]*(?:;[^,;=]+=[^,;]*)*)(;base64)?,/i.exec(text)
  if (match === null) return undefined
  const body = text.slice(match[0].length)
  const bytes = match[2] === undefined ? Buffer.from(decodePercent(body)) : Buffer.from(body, 'base64')
  const name = /;name=([^;]*)/i.exec(match[1] ?? '')?.[1]
  return { mediaType: match[1] || 'text/plain', name: name === undefined ? undefined : decodePercent(name), bytes }
}

/** Names come from the model's output, so they may hold nothing that leads elsewhere. */
function fileName(base: string, names: readonly string[], extension: string, isExact: boolean): string {
  const given = isExact ? extname(base) : ''
  const stem = given === '' ? base : base.slice(0, -given.length)
  // A training's `weights` in `weights` are not `weights.weights`.
  const isSaid = names.length === 1 && names[0] === basename(stem)
  const middle = isSaid ? '' : names.map((name) => `.${name.replaceAll(/[^\w-]/g, '_')}`).join('')
  return `${stem}${middle}${given === '' ? `.${extension}` : given}`
}

/** The model's own, with `tar` before a compression; else that of the media type. */
function extension({ name, mediaType }: FileData): string {
  return /[^.]\.((?:tar\.)?[\w-]{1,16})$/i.exec(name ?? '')?.[1] ?? extensionOf(mediaType)
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (error) {
    // Nothing there, or below a file: writing tells.
    if (systemErrorCode(error) === undefined) throw error
    return false
  }
}

async function write(file: string, bytes: Uint8Array): Promise<void> {
  try {
    await makeFolder(dirname(file))
    writeFileSync(file, bytes)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === undefined) throw error
    throw new BuildError(code === 'ENOSPC' ? 'DISK_FULL' : 'FILE_UNWRITABLE', `Cannot write the output: ${file}`, {
      cause: error,
    })
  }
}
