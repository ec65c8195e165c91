import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { OCI, type Digest } from 'oci-spec-types'
import type { Layer } from '../../layers/layer.ts'
import { openBytes } from '../../src/core/bytes.ts'

/** One entry of a test tar; nothing is checked, so that hostile ones can be made. */
export interface TestEntry {
  readonly name: string
  readonly type?: string
  readonly data?: string | Uint8Array
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly devmajor?: number
  readonly devminor?: number
  /** Overrides the size field's text. */
  readonly rawSize?: string
  /** Records of a PAX header written before the entry. */
  readonly pax?: Readonly<Record<string, string>>
}

export const dir = (name: string, mode = 0o755): TestEntry => ({ name, type: '5', mode })
export const file = (name: string, data: string | Uint8Array = '', mode = 0o644): TestEntry => ({ name, data, mode })
export const symlink = (link: string, name: string): TestEntry => ({ name, type: '2', link, mode: 0o777 })
export const hardlink = (link: string, name: string): TestEntry => ({ name, type: '1', link })

/** Writes a tar byte by byte, without any check. */
export function tar(...entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocks), Buffer.alloc(1024)])
}

export function blocks(entry: TestEntry): Buffer[] {
  const data = Buffer.from(entry.data ?? '')
  const records = Object.entries(entry.pax ?? {}).map(([key, value]) => paxRecord(key, value))
  const before = records.length === 0 ? [] : blocks({ name: 'pax', type: 'x', data: Buffer.concat(records) })
  return [...before, header(entry, data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)]
}

export function paxRecord(key: string, value: string): Buffer {
  const body = ` ${key}=${value}\n`
  const bytes = Buffer.byteLength(body)
  let length = bytes + String(bytes).length
  if (bytes + String(length).length !== length) length = bytes + String(length).length
  return Buffer.from(`${length}${body}`)
}

export function header(entry: TestEntry, size: number): Buffer {
  const block = Buffer.alloc(512)
  const octal = (value: number, at: number, width: number): void => {
    block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1')
  }
  block.write(entry.name, 0, 100, 'latin1')
  octal(entry.mode ?? 0o644, 100, 8)
  octal(entry.uid ?? process.getuid?.() ?? 0, 108, 8)
  octal(entry.gid ?? process.getgid?.() ?? 0, 116, 8)
  if (entry.rawSize === undefined) octal(size, 124, 12)
  else block.write(entry.rawSize, 124, 12, 'latin1')
  octal(entry.mtime ?? 1_000_000_000, 136, 12)
  block.write(entry.type ?? '0', 156, 'latin1')
  block.write(entry.link ?? '', 157, 100, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  octal(entry.devmajor ?? 0, 329, 8)
  octal(entry.devminor ?? 0, 337, 8)
  return checksummed(block)
}

/** Puts the right checksum into a header. */
export function checksummed(block: Buffer): Buffer {
  block.write('        ', 148, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

export function digest(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A gzip layer of a tar. */
export function layerOf(bytes: Buffer, blob: Buffer = gzipSync(bytes), mediaType: string = OCI.layerGzip): Layer {
  return {
    descriptor: { mediaType, digest: digest(blob), size: blob.length },
    diffId: digest(bytes),
    open: openBytes(blob),
    createdBy: 'test',
  }
}
