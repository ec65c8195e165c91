import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { systemErrorCode } from '../core/errors.ts'
import type { Verdict } from './health.ts'
import type { HealthSettings } from './table.ts'
import type { Upstream } from './upstream.ts'

/** What a server says of itself that takes no work, after Cog. Other servers may say anything else. */
const NOT_READY = new Set(['UNKNOWN', 'STARTING', 'SETUP_FAILED', 'DEFUNCT', 'UNHEALTHY', 'DRAINING'])
/** The answer holds what the model printed while it was set up. */
const MOST_BYTES = 4 << 20

/**
 * Asks a server whether it takes work, on a connection of its own: one that is kept says nothing of new ones.
 *
 * It does when it answers 2xx, and does not say in JSON that its `status` is another one: Cog's `/health-check` is 200 always.
 */
export async function askHealth(
  upstream: Upstream,
  { path, timeout_seconds: timeoutSeconds }: HealthSettings,
  signal: AbortSignal,
): Promise<Verdict> {
  const headers = { host: upstream.url.host, accept: 'application/json', connection: 'close' }
  const outgoing = upstream.request('GET', path, headers, false)
  // Told of twice when it is cut.
  outgoing.on('error', () => {})
  let isLate = false
  const cut = (): void => void outgoing.destroy()
  const timer = setTimeout(() => {
    isLate = true
    cut()
  }, timeoutSeconds * 1000)
  signal.addEventListener('abort', cut, { once: true })
  try {
    outgoing.end()
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    return await judge(answer, path)
  } catch (error) {
    if (isLate) return { kind: 'late', reason: `${path} gives no answer within ${timeoutSeconds} s` }
    return { kind: 'ill', reason: systemErrorCode(error) ?? (error as Error).message }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', cut)
    cut()
  }
}

async function judge(answer: IncomingMessage, path: string): Promise<Verdict> {
  answer.on('error', () => {})
  const { statusCode = 0 } = answer
  if (statusCode < 200 || statusCode > 299) return { kind: 'ill', reason: `${path} answers ${statusCode}` }
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > MOST_BYTES) return { kind: 'ill', reason: `${path} answers more than ${MOST_BYTES >> 20} MiB` }
    chunks.push(chunk)
  }
  const status = statusIn(Buffer.concat(chunks).toString('utf8'))
  return status === undefined || !NOT_READY.has(status)
    ? { kind: 'well' }
    : { kind: 'ill', reason: `${path} says ${status}` }
}

function statusIn(text: string): string | undefined {
  try {
    const document: unknown = JSON.parse(text)
    if (typeof document !== 'object' || document === null || !('status' in document)) return undefined
    return typeof document.status === 'string' ? document.status : undefined
  } catch {
    // Other servers say `ok`, or nothing.
    return undefined
  }
}
