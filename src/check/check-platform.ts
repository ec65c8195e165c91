import { exampleInput } from './example-input.ts'
import { CONTRACTS, type ImageFacts, type Probe, type Target } from './contracts.ts'

/** A rule and whether it held. */
export interface Finding {
  readonly rule: string
  readonly why: string
  /** Undefined when it holds. */
  readonly problem: string | undefined
}

/**
 * Checks every rule of a platform against a running server.
 *
 * @param base  its address, as `http://127.0.0.1:5000`
 */
export async function checkPlatform(
  target: Target,
  base: string,
  image: ImageFacts,
  signal?: AbortSignal,
): Promise<readonly Finding[]> {
  const ask: Probe['ask'] = async (method, path, { body, timeoutMs = 10_000 } = {}) => {
    const began = performance.now()
    const timeout = AbortSignal.timeout(timeoutMs)
    const init = {
      method,
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }
    const answer = await fetch(base + path, init).catch(() => undefined)
    if (answer === undefined) return undefined
    const text = await answer.text()
    return { status: answer.status, body: parse(text), milliseconds: performance.now() - began }
  }
  const document = (await ask('GET', '/openapi.json'))?.body
  const probe: Probe = { ask, input: exampleInput(document) }
  const findings: Finding[] = []
  for (const rule of CONTRACTS[target].rules) {
    findings.push({ rule: rule.name, why: rule.why, problem: await rule.check(probe, image) })
  }
  return findings
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
