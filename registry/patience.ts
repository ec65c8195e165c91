import {
  DEFAULT_RETRY,
  parseRetryAfter,
  realWaiting,
  waitMs,
  type RetryPolicy,
  type Waiting,
} from '../src/core/net/retry.ts'

/** How long a transfer that can be continued is tried; its single requests are retried by the door to the network. */
export interface Patience {
  readonly policy: RetryPolicy
  readonly waiting: Waiting
}

/** The usual patience, with what a caller (a test) wants otherwise. */
export function makePatience(policy: Partial<RetryPolicy> = {}, waiting: Partial<Waiting> = {}): Patience {
  return { policy: { ...DEFAULT_RETRY, ...policy }, waiting: { ...realWaiting, ...waiting } }
}

/** Waits before the next try, at least as long as the server asked for. */
export async function pause(
  patience: Patience,
  tries: number,
  retryAfter: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { policy, waiting } = patience
  const asked = parseRetryAfter(retryAfter, waiting.now())
  await waiting.sleep(waitMs(policy, tries, asked, waiting.random()), signal)
}
