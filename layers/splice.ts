import { deflateMember, storedMember, tinyMember } from './gzip-members.ts'
import { encodeTarHeader, TAR_END, tarPadding } from './tar-header.ts'

/** A file of a spliced layer. */
export interface SplicedFile {
  /** As in {@link Entry}. */
  readonly path: string
  readonly mode: number
  readonly sizeBytes: number
  readonly content: SplicedContent
}

/** Where a spliced file's bytes come from: memory, or an archive in which they lie compressed. */
export type SplicedContent =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'stored'; readonly data: AsyncIterable<Uint8Array> }
  | { readonly kind: 'deflate'; readonly data: AsyncIterable<Uint8Array>; readonly crc32: number }

/**
 * Writes a `tar+gzip` layer without compressing: each file's own deflate bytes become one gzip member, and what lies
 * between files (padding, headers, directories, small generated files) another one.
 *
 * The bytes are a function of the arguments alone. CRC-32 and size of what is spliced are taken on trust here;
 * `checkLayer` proves them from the bytes that come out.
 *
 * @param directories  sorted, parents first
 * @param files        each one's data is read to its end before the next is asked for
 */
export async function* spliceLayer(
  directories: readonly string[],
  files: AsyncIterable<SplicedFile>,
  mtimeSeconds: number,
): AsyncGenerator<Uint8Array> {
  let plain: Uint8Array[] = directories.map((path) =>
    encodeTarHeader({ type: 'directory', path, mode: 0o755, mtimeSeconds }),
  )
  for await (const { path, mode, sizeBytes, content } of files) {
    plain.push(encodeTarHeader({ type: 'file', path, mode, sizeBytes, mtimeSeconds }))
    if (content.kind === 'bytes') plain.push(content.bytes)
    else if (sizeBytes === 0) await drain(content.data)
    else {
      yield tinyMember(Buffer.concat(plain))
      plain = []
      if (content.kind === 'stored') yield* storedMember(content.data, sizeBytes)
      else yield* deflateMember(content.data, { crc32: content.crc32, sizeBytes })
    }
    plain.push(TAR_END.subarray(0, tarPadding(sizeBytes)))
  }
  plain.push(TAR_END)
  yield tinyMember(Buffer.concat(plain))
}

async function drain(data: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of data);
}
