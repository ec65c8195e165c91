/** What a test's library says. */
export interface ElfInput {
  readonly machine?: number
  readonly soname?: string
  readonly needed?: readonly string[]
  readonly runpath?: string
  /** Bytes between the strings and the dynamic section. */
  readonly padding?: Buffer
  /** Whether the strings come after the dynamic section, as `patchelf` puts them. */
  readonly stringsLast?: boolean
}

/** Makes the least of a 64-bit shared library that a loader's view needs. */
export function makeElf(input: ElfInput = {}): Buffer {
  const strings: string[] = ['']
  const intern = (text: string): bigint => {
    const offset = strings.reduce((sum, string) => sum + string.length + 1, 0)
    strings.push(text)
    return BigInt(offset)
  }
  const entries: [bigint, bigint][] = (input.needed ?? []).map((name) => [1n, intern(name)])
  if (input.soname !== undefined) entries.push([14n, intern(input.soname)])
  if (input.runpath !== undefined) entries.push([29n, intern(input.runpath)])
  const table = Buffer.from(`${strings.join('\0')}\0`, 'latin1')
  const padding = input.padding ?? Buffer.alloc(64)
  const headers = 64 + 2 * 56
  const dynamicBytes = (entries.length + 2) * 16
  const tableOffset = input.stringsLast === true ? headers + padding.length + dynamicBytes : headers
  const dynamicOffset = input.stringsLast === true ? headers + padding.length : headers + table.length + padding.length
  const total = headers + table.length + padding.length + dynamicBytes
  // Addresses differ from offsets, as they do in real files.
  const base = 0x10000
  entries.push([5n, BigInt(base + tableOffset)], [0n, 0n])
  const dynamic = Buffer.alloc(dynamicBytes)
  for (const [n, [tag, value]] of entries.entries()) {
    dynamic.writeBigUInt64LE(tag, n * 16)
    dynamic.writeBigUInt64LE(value, n * 16 + 8)
  }
  const head = Buffer.alloc(headers)
  head.write('\x7fELF\x02\x01\x01', 0, 'latin1')
  head.writeUInt16LE(3, 16)
  head.writeUInt16LE(input.machine ?? 62, 18)
  head.writeBigUInt64LE(64n, 32)
  head.writeUInt16LE(56, 54)
  head.writeUInt16LE(2, 56)
  for (const [n, [type, offset, size]] of [
    [1, 0, total],
    [2, dynamicOffset, dynamicBytes],
  ].entries()) {
    const at = 64 + n * 56
    head.writeUInt32LE(type ?? 0, at)
    head.writeUInt32LE(4, at + 4)
    head.writeBigUInt64LE(BigInt(offset ?? 0), at + 8)
    head.writeBigUInt64LE(BigInt(base + (offset ?? 0)), at + 16)
    head.writeBigUInt64LE(BigInt(size ?? 0), at + 32)
  }
  return Buffer.concat(input.stringsLast === true ? [head, padding, dynamic, table] : [head, table, padding, dynamic])
}

/** A container of GPU code with one entry for each architecture. */
export function makeFatbin(architectures: readonly (readonly [kind: 'ptx' | 'code', number: number])[]): Buffer {
  const entries = architectures.map(([kind, number]) => {
    const entry = Buffer.alloc(64 + 128, 0xaa)
    entry.writeUInt16LE(kind === 'ptx' ? 1 : 2, 0)
    entry.writeUInt32LE(64, 4)
    entry.writeBigUInt64LE(128n, 8)
    entry.writeUInt32LE(number, 28)
    return entry
  })
  const body = Buffer.concat(entries)
  const head = Buffer.alloc(16)
  head.writeUInt32LE(0xba55ed50, 0)
  head.writeUInt16LE(1, 4)
  head.writeUInt16LE(16, 6)
  head.writeBigUInt64LE(BigInt(body.length), 8)
  return Buffer.concat([head, body])
}
