import { once } from 'node:events'
import { createServer, request as httpRequest, Agent, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request that a backend got. */
export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** The server of one version. */
export interface Backend {
  readonly url: string
  readonly port: number
  readonly seen: SeenRequest[]
  close(): Promise<void>
}

/** What a backend does with a request in place of answering with its name. */
export type BackendHandler = (request: IncomingMessage, response: ServerResponse) => void

/** Starts a server that answers with its own name, or as it is told. */
export async function startBackend(name: string, handler?: BackendHandler, port = 0): Promise<Backend> {
  const seen: SeenRequest[] = []
  const server = createServer((request, response) => {
    if (handler !== undefined) return handler(request, response)
    void bodyOf(request).then((body) => {
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
      response.end(name)
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const { port: own } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${own}`,
    port: own,
    seen,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** The whole body of a message; what came of it when it broke off. */
export async function bodyOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of message) chunks.push(chunk as Buffer)
  } catch {
    // Broken off.
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** An answer of {@link ask}. */
export interface Answered {
  readonly status: number
  readonly version: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

const agent = new Agent({ keepAlive: true })

/** One request, on a connection that is kept. */
export async function ask(
  url: string,
  options: {
    readonly method?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
  } = {},
): Promise<Answered> {
  const { method = 'GET', headers = {}, body } = options
  const outgoing = httpRequest(url, { method, headers, agent })
  outgoing.end(body)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  const version = answer.headers['x-model-version']
  return {
    status: answer.statusCode ?? 0,
    version: Array.isArray(version) ? version.join() : version,
    headers: answer.headers,
    body: await bodyOf(answer),
  }
}

/** Numbers from 0 to below 1 that are the same each time. */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Pearson's chi-square of counts against weights. */
export function chiSquare(counts: readonly number[], weights: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const all = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.reduce((sum, weight, at) => {
    const expected = (total * weight) / all
    return sum + ((counts[at] ?? 0) - expected) ** 2 / expected
  }, 0)
}
