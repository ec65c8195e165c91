import { exampleInput } from './example-input.ts'
import { CONTRACTS, type Target } from './contracts.ts'
import type { ImageFacts, Probe } from './rule.ts'

/** A rule and whether it held. */
export interface Finding {
  readonly rule: string
  readonly why: string
  /** Undefined when it holds. */
  readonly problem: string | undefined
}

/** The server, and its end. */
export interface CheckedServer {
  readonly port: number
  readonly exit: Promise<number>
  kill(signal: 'SIGTERM'): void
}

/**
 * Checks every rule of a platform against a running server.
 *
 * A server of a platform that drains has ended afterwards.
 */
export async function checkPlatform(
  target: Target,
  server: CheckedServer,
  image: ImageFacts,
  signal?: AbortSignal,
): Promise<readonly Finding[]> {
  const ask: Probe['ask'] = async (method, path, { body, timeoutMs = 10_000, host = '127.0.0.1' } = {}) => {
    const began = performance.now()
    const timeout = AbortSignal.timeout(timeoutMs)
    const init = {
      method,
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }
    // No answer, or none in time, is a finding of the rule that asked; the end of the whole check is not.
    const answer = await fetchText(`http://${host}:${server.port}${path}`, init).catch(() => undefined)
    signal?.throwIfAborted()
    if (answer === undefined) return undefined
    return { status: answer.status, body: parse(answer.text), milliseconds: performance.now() - began }
  }
  const document = (await ask('GET', '/openapi.json'))?.body
  const input = exampleInput(document)
  const probe: Probe = { ask, input, exit: server.exit, terminate: () => server.kill('SIGTERM') }
  const findings: Finding[] = []
  for (const rule of CONTRACTS[target].rules) {
    findings.push({ rule: rule.name, why: rule.why, problem: await rule.check(probe, image) })
  }
  return findings
}

async function fetchText(url: string, init: RequestInit): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(url, init)
  return { status: answer.status, text: await answer.text() }
}

/** JSON where it is JSON, else the text itself: a rule says what it wants. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
