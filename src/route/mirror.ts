import type { IncomingMessage } from 'node:http'
import { forwardedHeaders } from './headers.ts'
import type { Upstream } from './upstream.ts'

const IN_FLIGHT = 64
const TIMEOUT_MS = 600_000
/** Says to whoever cares that nobody waits for the answer. */
const MIRROR_HEADER = 'x-model-mirror'

/** Copies of requests to one version; the answers are thrown away, and nobody waits for them. */
export class Mirror {
  readonly #upstream: Upstream
  readonly #maxBytes: number
  #inFlight = 0

  constructor(upstream: Upstream, maxBytes: number) {
    this.#upstream = upstream
    this.#maxBytes = maxBytes
  }

  /** Takes the body of a request on its way; sends the copy when it is there as a whole, and none when it is too large. */
  copy(request: IncomingMessage, path: string): (chunk: Buffer) => void {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    const sendWhole = (): void => {
      if (sizeBytes > this.#maxBytes) this.#upstream.mirrored.skipped++
      else this.#send(request, path, Buffer.concat(chunks))
    }
    return (chunk) => {
      // Not before: a request that could not be sent is tried again with a copy of its own.
      if (sizeBytes === 0) request.once('end', sendWhole)
      sizeBytes += chunk.length
      if (sizeBytes <= this.#maxBytes) chunks.push(chunk)
      else chunks.length = 0
    }
  }

  #send(request: IncomingMessage, path: string, body: Buffer): void {
    const { mirrored } = this.#upstream
    const copied = withoutWebhook(request, body)
    // One that is slow is sent less, and holds nobody up.
    if (copied === undefined || this.#inFlight >= IN_FLIGHT) return void mirrored.skipped++
    const { expect: _, ...headers } = forwardedHeaders(request, this.#upstream.url.host)
    const outgoing = this.#upstream.request(request.method ?? 'POST', path, {
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
