import type { IncomingMessage } from 'node:http'
import { forwardedHeaders } from './headers.ts'
import type { Upstream } from './upstream.ts'

const IN_FLIGHT = 64
const TIMEOUT_MS = 600_000
/** Says to whoever cares that nobody waits for the answer. */
const MIRROR_HEADER = 'x-model-mirror'

/** Copies of requests to one version; the answers are thrown away, and nobody waits for them. */
export class Mirror {
  readonly #upstreams: readonly Upstream[]
  readonly #maxBytes: number
  readonly #now: () => number
  #inFlight = 0
  #turn = 0

  /** @param upstreams  one at least; each is sent a copy in turn */
  constructor(upstreams: readonly Upstream[], maxBytes: number, now: () => number) {
    this.#upstreams = upstreams
    this.#maxBytes = maxBytes
    this.#now = now
  }

  /** Takes the body of a request on its way; sends the copy when it is there as a whole, and none when it is too large. */
  copy(request: IncomingMessage, path: string): (chunk: Buffer) => void {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    const sendWhole = (): void => {
      const upstream = this.#next()
      if (sizeBytes > this.#maxBytes) upstream.mirrored.skipped++
      else this.#send(upstream, request, path, Buffer.concat(chunks))
    }
    return (chunk) => {
      // Not before: a request that could not be sent is tried again with a copy of its own.
      if (sizeBytes === 0) request.once('end', sendWhole)
      sizeBytes += chunk.length
      if (sizeBytes <= this.#maxBytes) chunks.push(chunk)
      else chunks.length = 0
    }
  }

  /** One after another, those that are out left out while there are others. */
  #next(): Upstream {
    const well = this.#upstreams.filter(({ health }) => !health.isOut(this.#now()))
    const among = well.length === 0 ? this.#upstreams : well
    const next = among[this.#turn++ % among.length]
    if (next === undefined) throw new TypeError('A version has a server')
    return next
  }

  #send(upstream: Upstream, request: IncomingMessage, path: string, body: Buffer): void {
    const { mirrored } = upstream
    const copied = withoutWebhook(request, body)
    // One that is slow is sent less, and holds nobody up.
    const isTooMuch = this.#inFlight >= IN_FLIGHT || upstream.health.isOut(this.#now())
    if (copied === undefined || isTooMuch) return void mirrored.skipped++
    const { expect: _, ...headers } = forwardedHeaders(request, upstream.url.host)
    const outgoing = upstream.request(request.method ?? 'POST', path, {
      ...headers,
      'content-length': String(copied.length),
      [MIRROR_HEADER]: 'true',
    })
    this.#inFlight++
    outgoing.setTimeout(TIMEOUT_MS, () => outgoing.destroy())
    outgoing.on('response', (answer) => {
      mirrored.sent++
      answer.on('error', () => {})
      answer.resume()
    })
    outgoing.on('error', () => mirrored.failed++)
    outgoing.on('close', () => this.#inFlight--)
    outgoing.end(copied)
  }
}

/** A copy must call nobody back. Undefined for a body that cannot be looked into. */
function withoutWebhook({ headers }: IncomingMessage, body: Buffer): Buffer | undefined {
  if (headers['content-encoding'] !== undefined) return undefined
  if (!body.includes('webhook')) return body
  try {
    const document: unknown = JSON.parse(body.toString('utf8'))
    if (typeof document !== 'object' || document === null) return body
    const { webhook: _, webhook_events_filter: __, ...rest } = document as Record<string, unknown>
    return Buffer.from(JSON.stringify(rest))
  } catch {
    return undefined
  }
}
