import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Digest } from 'oci-spec-types'
import type { Cache } from '../core/cache.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalJson } from '../core/json.ts'
import { programBuild } from '../core/version.ts'
import type { ModelDescription, ModelOptions } from '../predictor/describe.ts'

/** A description with every file that it was read from, or that was looked for in vain. */
interface KnownModel {
  readonly files: Readonly<Record<string, Digest | null>>
  readonly model: ModelDescription
}

/**
 * Describes a model, or remembers the description while every file that it came from is what it was.
 *
 * The files are read and compared each time; what is saved is parsing them, and loading the parser.
 *
 * @throws as `describeModel`
 */
export async function describeKnownModel(
  options: Omit<ModelOptions, 'readFile'>,
  cache: Cache,
): Promise<ModelDescription> {
  const { projectFolder, run, train, maxConcurrency } = options
  const key = canonicalJson({ projectFolder, run, train, maxConcurrency, build: programBuild() })
  const known = parse(await cache.get(key))
  if (known !== undefined && isCurrent(known, projectFolder)) return known.model
  const { describeModel, folderReader } = await import('../predictor/describe.ts')
  const read = folderReader(projectFolder)
  const files: Record<string, Digest | null> = {}
  const readFile = (path: string): string | undefined => {
    const text = read(path)
    files[path] = text === undefined ? null : digestOf(text)
    return text
  }
  const model = await describeModel({ ...options, readFile })
  await cache.set(key, Buffer.from(JSON.stringify({ files, model } satisfies KnownModel)))
  return model
}

function isCurrent({ files }: KnownModel, folder: string): boolean {
  return Object.entries(files).every(([path, digest]) => digestText(join(folder, path)) === digest)
}

/** As the describer reads it; unreadable is like absent here, and is an error when it is read in earnest. */
function digestText(file: string): Digest | null {
  try {
    return digestOf(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''))
  } catch {
    return null
  }
}

/** Our own cache entry; anything odd about it means that there is none. */
function parse(bytes: Buffer | undefined): KnownModel | undefined {
  if (bytes === undefined) return undefined
  try {
    const known = JSON.parse(bytes.toString('utf8')) as Partial<KnownModel>
    return known.files === undefined || known.model === undefined ? undefined : (known as KnownModel)
  } catch {
    // Our own entry, damaged: described anew.
    return undefined
  }
}
