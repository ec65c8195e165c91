import { crc32, deflateSync } from 'node:zlib'

/** A PNG with a pattern in it. @see PNG specification, section 5 */
export function makePng(width: number, height: number): Buffer {
  const rows: number[] = []
  for (let y = 0; y < height; y++) {
    rows.push(0)
    for (let x = 0; x < width; x++) rows.push((x * y) % 256, x % 256, y % 256)
  }
  return encode(width, height, Buffer.from(rows))
}

/** A filled rectangle; the colour is red, green, blue. */
export interface Shape {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
  readonly colour: readonly [number, number, number]
}

/** A PNG of rectangles on white. */
export function drawShapes(width: number, height: number, shapes: readonly Shape[]): Buffer {
  const stride = width * 3 + 1
  const rows = Buffer.alloc(stride * height, 255)
  for (let y = 0; y < height; y++) rows[y * stride] = 0
  for (const { left, top, right, bottom, colour } of shapes) {
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) rows.set(colour, y * stride + 1 + x * 3)
  }
  return encode(width, height, rows)
}

/** The size of a PNG. @throws RangeError when it is none */
export function readPng(bytes: Buffer): { readonly width: number; readonly height: number } {
  if (bytes.toString('latin1', 1, 4) !== 'PNG') throw new RangeError('Not a PNG')
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) }
}

/** Rows of pixels with the byte of their filter before each, eight bits for each of three colours. */
function encode(width: number, height: number, rows: Uint8Array): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, sum])
}
