import { openBytes } from '../../src/core/bytes.ts'
import type { Entry } from '../entry.ts'
import { layerOfEntries } from '../files.ts'
import type { LayerKind } from './kind.ts'

/** A small generated file, link or directory. Paths without a leading slash. */
export type InlineFile =
  | { readonly path: string; readonly text: string; readonly mode?: number | undefined }
  | { readonly path: string; readonly base64: string; readonly mode?: number | undefined }
  | { readonly path: string; readonly link: string }
  | { readonly path: string; readonly directory: true; readonly mode?: number | undefined }

/** Files whose content stands in the spec itself. */
export interface InlineLayerSpec {
  readonly kind: 'inline'
  /** What they are, for the history line. */
  readonly label: string
  readonly files: readonly InlineFile[]
}

/** Lays generated files. */
export const inlineKind: LayerKind<InlineLayerSpec> = {
  kind: 'inline',
  make: ({ files }, context) => layerOfEntries(files.map(inlineEntry), context),
}

/** The entry of an inline file. */
export function inlineEntry(file: InlineFile): Entry {
  const { path } = file
  if ('link' in file) return { kind: 'symlink', path, mode: 0o777, target: file.link }
  if ('directory' in file) return { kind: 'directory', path, mode: file.mode ?? 0o755 }
  const bytes = 'text' in file ? Buffer.from(file.text) : Buffer.from(file.base64, 'base64')
  return { kind: 'file', path, mode: file.mode ?? 0o644, sizeBytes: bytes.length, open: openBytes(bytes) }
}
