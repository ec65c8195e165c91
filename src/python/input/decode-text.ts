import { BuildError } from '../../core/errors.ts'

const BYTE_ORDER_MARKS: readonly (readonly [string, readonly number[]])[] = [
  ['utf-32le', [0xff, 0xfe, 0, 0]],
  ['utf-32be', [0, 0, 0xfe, 0xff]],
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
]

/**
 * Decodes a requirements file as pip does: by its byte order mark, else by a coding line in the first two lines
 * (PEP 263), else as UTF-8.
 *
 * @param what names the file in errors
 * @throws BuildError REQUIREMENT_INVALID
 */
export function decodeText(bytes: Uint8Array, what: string): string {
  const mark = BYTE_ORDER_MARKS.find(([, start]) => start.every((byte, i) => bytes[i] === byte))
  if (mark !== undefined) return decodeAs(mark[0], bytes.subarray(mark[1].length), what)
  const start = Buffer.from(bytes.subarray(0, 4096))
    .toString('latin1')
    .split(/\r\n|\r|\n/)
    .slice(0, 2)
  const coding = start
    .map((line) => /^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)/.exec(line)?.[1])
    .find((name) => name !== undefined)
  return decodeAs(coding?.replaceAll('_', '-') ?? 'utf-8', bytes, what)
}

/** Names that Python knows and the Encoding standard does not. */
const PYTHON_NAMES: Readonly<Record<string, string>> = {
  'latin-1': 'latin1',
  l1: 'latin1',
  'iso8859-15': 'iso-8859-15',
  'utf-8-sig': 'utf-8',
  cp932: 'shift_jis',
  cp949: 'euc-kr',
  cp936: 'gbk',
}

function decodeAs(encoding: string, bytes: Uint8Array, what: string): string {
  if (encoding.startsWith('utf-32')) return decodeUtf32(bytes, encoding === 'utf-32le', what)
  try {
    return new TextDecoder(PYTHON_NAMES[encoding.toLowerCase()] ?? encoding, { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BuildError('REQUIREMENT_INVALID', `${what} is not text in ${encoding}`, {
      hint: 'Save it as UTF-8, or name its encoding in the first line: # -*- coding: latin-1 -*-',
      cause,
    })
  }
}

function decodeUtf32(bytes: Uint8Array, isLittle: boolean, what: string): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let text = ''
  for (let at = 0; at < bytes.length; at += 4) {
    const code = at + 4 <= bytes.length ? view.getUint32(at, isLittle) : 0x110000
    if (code > 0x10ffff) throw new BuildError('REQUIREMENT_INVALID', `${what} is not text in UTF-32`)
    text += String.fromCodePoint(code)
  }
  return text
}
