/** Status and headers of an answer; names in lower case, several values of one name joined by commas. */
export interface Head {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
}

/**
 * Parses the head of an HTTP/1 answer.
 *
 * @param bytes up to the empty line
 * @throws Error with the code HPE_INVALID for anything that is not one, or that leaves open how long the body is
 * @see RFC 9112 sections 4 and 5
 */
export function parseHead(bytes: Uint8Array): Head {
  const [first = '', ...lines] = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('latin1')
    .split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1]
  if (status === undefined) throw invalid('no HTTP/1 status line')
  const headers = new Map<string, string>()
  for (const line of lines) {
    if (line === '') continue
    const colon = line.indexOf(':')
    const key = line.slice(0, Math.max(0, colon)).toLowerCase()
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(key)) throw invalid('a header line that is none')
    const value = line.slice(colon + 1).trim()
    const known = headers.get(key)
    if (key === 'content-length') assertLength(value, known, headers)
    headers.set(key, known === undefined || key === 'content-length' ? value : `${known}, ${value}`)
  }
  if (headers.has('transfer-encoding') && headers.has('content-length')) throw invalid('two lengths')
  return { status: Number(status), headers }
}

function assertLength(value: string, known: string | undefined, headers: ReadonlyMap<string, string>): void {
  if (!/^\d{1,15}$/.test(value)) throw invalid('a length that is no number')
  if (known !== undefined && known !== value) throw invalid('two lengths')
  if (headers.has('transfer-encoding')) throw invalid('two lengths')
}

/**
 * Undoes `Transfer-Encoding: chunked`. Pieces are parts of those that come.
 *
 * @throws Error with the code HPE_INVALID for other codings and broken chunks; ECONNRESET when the end is missing
 * @see RFC 9112 section 7.1
 */
export async function* dechunk(stream: AsyncIterable<Uint8Array>, coding: string): AsyncGenerator<Uint8Array> {
  if (coding.trim().toLowerCase() !== 'chunked') throw invalid('an unknown transfer coding')
  let line = ''
  // Bytes left of the chunk, with the line end after it; 0 while its size is being read.
  let left = 0
  for await (const piece of stream) {
    for (let at = 0; at < piece.length;) {
      if (left > 2) {
        const part = piece.subarray(at, at + left - 2)
        at += part.length
        left -= part.length
        yield part
      } else if (left > 0) {
        if (piece[at++] !== (left === 2 ? CR : LF)) throw invalid('a chunk without an end')
        left--
      } else {
        line += String.fromCharCode(piece[at++] ?? 0)
        if (!line.endsWith('\n')) {
          if (line.length > 1024) throw invalid('a chunk without a size')
          continue
        }
        const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?\r?\n$/i.exec(line)?.[1]
        if (size === undefined) throw invalid('a chunk without a size')
        line = ''
        // What follows the last chunk (trailers) is of no interest.
        if (Number.parseInt(size, 16) === 0) return
        left = Number.parseInt(size, 16) + 2
      }
    }
  }
  throw Object.assign(new Error('The connection was closed in the middle of the answer'), { code: 'ECONNRESET' })
}

const CR = 13
const LF = 10

function invalid(what: string): Error {
  return Object.assign(new Error(`The answer is not HTTP: ${what}`), { code: 'HPE_INVALID' })
}
