// Wheels that cost what real ones cost (half of each is text that deflate halves, half is noise), made while they are read:
// a set of any size needs no disk and little memory. Equal numbers give equal bytes.
import { createHash } from 'node:crypto'
import { crc32, deflateRawSync } from 'node:zlib'

/** What packed blocks come to: half of a block is text of a quarter of its size, half noise. */
const BLOCK_BYTES = 8 << 20
/** Wheels share their blocks; what is read twice in a set is never a whole file. */
const BLOCKS = 6

/**
 * A wheel as pieces of a zip.
 *
 * @param number from 1 on; `syn_0001-1.0-py3-none-any.whl`
 * @param sizeBytes roughly how large the file is
 */
export function syntheticWheel(number, sizeBytes) {
  const name = `syn_${String(number).padStart(4, '0')}`
  const entries = []
  const rows = []
  const add = (path, block) => {
    entries.push({ path: Buffer.from(path), ...block })
    rows.push(`${path},sha256=${block.sha256},${block.sizeBytes}`)
  }
  add(`${name}/__init__.py`, packed(Buffer.from(`NUMBER = ${number}\n`)))
  for (let left = sizeBytes, part = 0; left > 0; part++) {
    const block = blockOf(number + part, left)
    add(`${name}/part${part}.bin`, block)
    left -= block.data.length
  }
  const info = `${name}-1.0.dist-info`
  const metadata = Buffer.from(`Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`)
  const tags = 'Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
  add(`${info}/METADATA`, packed(metadata))
  add(`${info}/WHEEL`, packed(Buffer.from(tags)))
  entries.push({
    path: Buffer.from(`${info}/RECORD`),
    ...packed(Buffer.from(`${[...rows, `${info}/RECORD,,`].join('\n')}\n`)),
  })
  const pieces = zip(entries)
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return {
    filename: `${name}-1.0-py3-none-any.whl`,
    size: pieces.reduce((sum, { length }) => sum + length, 0),
    sha256: hash.digest('hex'),
    metadata: metadata.toString(),
    metadataSha256: createHash('sha256').update(metadata).digest('hex'),
    pieces,
  }
}

const blocks = new Map()

/** A block of a size that is right for what is left of a wheel: the same few ones again and again. */
function blockOf(number, left) {
  const size = Math.min(BLOCK_BYTES, Math.ceil(left / 0.63 / 1024) * 1024)
  const key = `${number % BLOCKS} ${size}`
  const known = blocks.get(key) ?? packed(blockBytes(number % BLOCKS, size))
  blocks.set(key, known)
  return known
}

function blockBytes(seed, size) {
  const block = Buffer.alloc(size)
  const words = ['alpha ', 'beta ', 'gamma ', 'delta ', `${seed} `].map((word) => Buffer.from(word))
  let state = (seed * 2654435761 + 88172645) >>> 0
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    return (state = (state ^ (state << 5)) >>> 0)
  }
  let at = 0
  while (at < size / 2) at += words[next() % words.length].copy(block, at)
  for (; at + 4 <= size; at += 4) block.writeUInt32LE(next(), at)
  return block
}

function packed(bytes) {
  return {
    data: deflateRawSync(bytes, { level: 1 }),
    sizeBytes: bytes.length,
    crc: crc32(bytes),
    sha256: createHash('sha256').update(bytes).digest('base64url'),
  }
}

/** @see APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16 */
function zip(entries) {
  const pieces = []
  const directory = []
  let at = 0
  for (const { path, data, sizeBytes, crc } of entries) {
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(8, 4)
    common.writeUInt16LE(0x5021, 8)
    common.writeUInt32LE(crc, 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(sizeBytes, 18)
    common.writeUInt16LE(path.length, 22)
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE((0o100644 << 16) >>> 0, 6)
    rest.writeUInt32LE(at, 10)
    directory.push(Buffer.from([0x50, 0x4b, 1, 2, 20, 3]), common, rest, path)
    const local = Buffer.concat([Buffer.from([0x50, 0x4b, 3, 4]), common, path])
    pieces.push(local, data)
    at += local.length + data.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(at, 16)
  return [...pieces, central, end]
}
