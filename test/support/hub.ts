import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/** A stand-in for the Hugging Face Hub, and for the storage that it redirects to. */
export interface Hub {
  /** For `HF_ENDPOINT`. */
  readonly url: string
  /** Method, path and range of every request, in order. */
  readonly requests: string[]
  /** Cuts the next so many answers of storage after some bytes. */
  cut(times: number, afterBytes: number): void
  close(): Promise<void>
}

/** What a stand-in serves. */
export interface HubOptions {
  /** Repository -> revision -> path -> content; large files are those of at least `largeBytes`. */
  readonly repositories: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, Buffer>>>>>>
  readonly largeBytes?: number | undefined
  /** Asked for on the hub, and refused by storage. */
  readonly token?: string | undefined
  readonly pageSize?: number | undefined
}

/** Starts a stand-in on loopback: API, pages by `Link`, and files by a redirect to another origin. */
export async function startHub(options: HubOptions): Promise<Hub> {
  const { repositories, largeBytes = 1000, token, pageSize = 2 } = options
  const requests: string[] = []
  let cuts = { times: 0, afterBytes: 0 }
  const note = (request: IncomingMessage): string => {
    const range = request.headers.range
    requests.push(`${request.method} ${request.url}${range === undefined ? '' : ` ${range}`}`)
    return request.url ?? ''
  }
  const storage = createServer((request, response) => {
    note(request)
    if (request.headers.authorization !== undefined) return response.writeHead(400).end()
    const [, repo = '', commit = '', path = ''] =
      /^\/([^/]+%2F[^/]+|[^/]+)\/([0-9a-f]{40})\/(.*)$/.exec(request.url ?? '') ?? []
    const content = filesAt(decodeURIComponent(repo), commit)?.[decodeURIComponent(path)]
    if (content === undefined) return response.writeHead(404).end()
    return sendFile(request, response, content)
  })
  const filesAt = (repo: string, revision: string): Readonly<Record<string, Buffer>> | undefined => {
    const revisions = repositories[repo] ?? {}
    return revisions[revision] ?? Object.entries(revisions).find(([name]) => commitOf(name) === revision)?.[1]
  }
  const sendFile = (request: IncomingMessage, response: ServerResponse, content: Buffer): void => {
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const rest = content.subarray(start)
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': rest.length,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` } : {}),
    })
    if (request.method === 'HEAD') return void response.end()
    if (cuts.times > 0 && rest.length > cuts.afterBytes) {
      cuts.times--
      return void response.write(rest.subarray(0, cuts.afterBytes), () => response.destroy())
    }
    response.end(rest)
  }
  const hub = createServer((request, response) => {
    const url = note(request)
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) return response.writeHead(401).end()
    const revision = /^\/api\/models\/(.+)\/revision\/(.+)$/.exec(url)
    if (revision !== null) {
      const name = decodeURIComponent(revision[2] ?? '')
      if (filesAt(revision[1] ?? '', name) === undefined) return response.writeHead(404).end()
      return json(response, { sha: /^[0-9a-f]{40}$/.test(name) ? name : commitOf(name) })
    }
    const tree = /^\/api\/models\/(.+)\/tree\/([0-9a-f]{40})\?recursive=true(?:&page=(\d+))?$/.exec(url)
    if (tree !== null) {
      const [, repo = '', commit = '', page = '0'] = tree
      const entries = Object.entries(filesAt(repo, commit) ?? {}).map(([path, content]) => entryOf(path, content))
      const start = Number(page) * pageSize
      if (start + pageSize < entries.length) {
        const next = `/api/models/${repo}/tree/${commit}?recursive=true&page=${Number(page) + 1}`
        response.setHeader('link', `<${next}>; rel="next"`)
      }
      return json(response, [
        { type: 'directory', path: 'folder', size: 0, oid: '0' },
        ...entries.slice(start, start + pageSize),
      ])
    }
    const file = /^\/(.+)\/resolve\/([0-9a-f]{40})\/(.+)$/.exec(url)
    const [, repo = '', commit = '', path = ''] = file ?? []
    const content = filesAt(repo, commit)?.[decodeURIComponent(path)]
    if (content === undefined) return response.writeHead(404).end()
    if (content.length < largeBytes) return sendFile(request, response, content)
    const location = `${storageUrl}/${encodeURIComponent(repo)}/${commit}/${path}`
    return response.writeHead(302, { location }).end()
  })
  const entryOf = (path: string, content: Buffer): unknown => {
    const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
    const size = content.length
    const lfs = { oid: createHash('sha256').update(content).digest('hex'), size, pointerSize: 130 }
    return { type: 'file', path, size, oid, ...(size < largeBytes ? {} : { lfs }) }
  }
  const listen = async (server: typeof hub): Promise<string> => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  }
  const storageUrl = await listen(storage)
  return {
    url: await listen(hub),
    requests,
    cut: (times, afterBytes) => void (cuts = { times, afterBytes }),
    close: async () => {
      for (const server of [hub, storage]) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
}

/** The commit that stands for a revision of a stand-in. */
export function commitOf(revision: string): string {
  return createHash('sha1').update(revision).digest('hex')
}

function json(response: ServerResponse, value: unknown): ServerResponse {
  return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}
