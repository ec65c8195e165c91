import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { file as tarFile, tar } from '../run/tar-builder.ts'
import { makeMetadata, makeWheel, wheelFilename, type WheelSpec } from './make-wheel.ts'

/** A file that the index lists besides what its wheel says. */
export interface IndexedFile extends WheelSpec {
  readonly yanked?: boolean | string
  readonly uploadTime?: string
  /** A source distribution of this name instead of a wheel; its files by path, or bytes that nobody can read. */
  readonly sdist?: boolean | Readonly<Record<string, string>>
}

/** How the index behaves, and misbehaves. */
export interface Behaviour {
  readonly form?: 'json' | 'html'
  /** `flag`: offers metadata files; `lie`: promises them and has none; `wrong`: sends others than promised. */
  readonly metadata?: 'none' | 'flag' | 'lie' | 'wrong'
  readonly ranges?: boolean
  /** `user:password` that every request must carry. */
  readonly credentials?: string
  readonly etag?: boolean
  /** Packs pages for who asks for it; `wrong`: says so and does not. */
  readonly gzip?: true | 'wrong'
  /** Status for pages of projects. */
  readonly pageStatus?: number
}

/** A running index. */
export interface LoopbackIndex {
  readonly url: string
  /** Requests so far, as `GET /simple/a/` or `GET /files/a.whl bytes=-10`. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

interface Stored {
  readonly file: IndexedFile
  readonly filename: string
  readonly bytes: Buffer
}

/** Serves wheels made from descriptions: a real index on the loopback interface. */
export async function startIndex(files: readonly IndexedFile[], behaviour: Behaviour = {}): Promise<LoopbackIndex> {
  const stored = files.map(store)
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push([request.method, request.url, request.headers.range].filter((part) => part !== undefined).join(' '))
    answer(stored, behaviour, request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/simple/`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function store(file: IndexedFile): Stored {
  const { sdist = false } = file
  if (sdist === false) return { file, filename: wheelFilename(file), bytes: makeWheel(file) }
  const top = `${file.name.replaceAll('-', '_')}-${file.version}`
  const entries = Object.entries(sdist).map(([path, text]) => tarFile(`${top}/${path}`, text))
  return { file, filename: `${top}.tar.gz`, bytes: sdist === true ? Buffer.from('sdist') : gzipSync(tar(...entries)) }
}

function answer(
  stored: readonly Stored[],
  behaviour: Behaviour,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { credentials } = behaviour
  const sent = request.headers.authorization
  if (credentials !== undefined && sent !== `Basic ${Buffer.from(credentials).toString('base64')}`) {
    response.writeHead(401).end('no')
    return
  }
  const [, area, name = ''] = (request.url ?? '').split('/').map(decodeURIComponent)
  if (area === 'simple') return page(stored, name, behaviour, request, response)
  return file(stored, name, behaviour, request, response)
}

function page(
  stored: readonly Stored[],
  name: string,
  behaviour: Behaviour,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const own = stored.filter(({ file }) => file.name === name)
  if (own.length === 0 || behaviour.pageStatus !== undefined) {
    response.writeHead(behaviour.pageStatus ?? 404).end('not found')
    return
  }
  const body = behaviour.form === 'html' ? htmlPage(own, behaviour) : jsonPage(own, behaviour)
  const etag = `"${createHash('sha256').update(body).digest('hex')}"`
  if (behaviour.etag === true && request.headers['if-none-match'] === etag) {
    response.writeHead(304).end()
    return
  }
  const type = behaviour.form === 'html' ? 'text/html' : 'application/vnd.pypi.simple.v1+json'
  const isPacked = behaviour.gzip !== undefined && request.headers['accept-encoding']?.includes('gzip') === true
  response
    .writeHead(200, {
      'content-type': type,
      ...(isPacked ? { 'content-encoding': 'gzip' } : {}),
      ...(behaviour.etag === true ? { etag } : {}),
    })
    .end(isPacked && behaviour.gzip === true ? gzipSync(body) : body)
}

function offersMetadata({ metadata = 'none' }: Behaviour, { file }: Stored): boolean {
  return metadata !== 'none' && (file.sdist ?? false) === false
}

function jsonPage(stored: readonly Stored[], behaviour: Behaviour): string {
  return JSON.stringify({
    meta: { 'api-version': '1.1' },
    files: stored.map((each) => ({
      filename: each.filename,
      url: `../../files/${each.filename}`,
      hashes: { sha256: sha256(each.bytes) },
      size: each.bytes.length,
      ...(each.file.requiresPython === undefined ? {} : { 'requires-python': each.file.requiresPython }),
      ...(each.file.uploadTime === undefined ? {} : { 'upload-time': each.file.uploadTime }),
      yanked: each.file.yanked ?? false,
      ...(offersMetadata(behaviour, each) ? { 'core-metadata': { sha256: metadataHash(each) } } : {}),
    })),
  })
}

function htmlPage(stored: readonly Stored[], behaviour: Behaviour): string {
  const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  const links = stored.map((each) => {
    const attributes = [
      `href="../../files/${each.filename}#sha256=${sha256(each.bytes)}"`,
      ...(each.file.requiresPython === undefined ? [] : [`data-requires-python="${escape(each.file.requiresPython)}"`]),
      ...(each.file.yanked === undefined || each.file.yanked === false ? [] : [`data-yanked="${each.file.yanked}"`]),
      ...(offersMetadata(behaviour, each) ? [`data-core-metadata="sha256=${metadataHash(each)}"`] : []),
    ]
    return `<a ${attributes.join(' ')}>${each.filename}</a><br/>`
  })
  return `<!DOCTYPE html><html><body><!-- <a href="x.whl">no</a> -->${links.join('\n')}</body></html>`
}

function file(
  stored: readonly Stored[],
  name: string,
  behaviour: Behaviour,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const isMetadata = name.endsWith('.metadata')
  const found = stored.find(({ filename }) => filename === (isMetadata ? name.slice(0, -9) : name))
  if (found === undefined || (isMetadata && behaviour.metadata !== 'flag' && behaviour.metadata !== 'wrong')) {
    response.writeHead(404).end('not found')
    return
  }
  if (isMetadata) {
    response.writeHead(200).end(makeMetadata(found.file) + (behaviour.metadata === 'wrong' ? 'tampered' : ''))
    return
  }
  const { bytes } = found
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '')
  if (range === null || behaviour.ranges === false) {
    response.writeHead(200, { 'content-length': bytes.length }).end(request.method === 'HEAD' ? undefined : bytes)
    return
  }
  const start = range[1] === '' ? Math.max(0, bytes.length - Number(range[2])) : Number(range[1])
  const end = range[1] === '' || range[2] === '' ? bytes.length - 1 : Math.min(Number(range[2]), bytes.length - 1)
  response
    .writeHead(206, { 'content-range': `bytes ${start}-${end}/${bytes.length}` })
    .end(bytes.subarray(start, end + 1))
}

function metadataHash({ file }: Stored): string {
  return sha256(Buffer.from(makeMetadata(file)))
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
