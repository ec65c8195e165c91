/** How long what indexes, archives and registries answered is taken for true without asking again. */
export const ANSWERS_FRESH_MS = 10 * 60_000

/**
 * Whether something is young enough. What comes from the future was made while this machine's clock was wrong, and its age
 * is not known: it would be taken for true until that future has come.
 */
export function isYoung(madeAtMs: number, maxAgeMs: number, nowMs: number): boolean {
  const ageMs = nowMs - madeAtMs
  return ageMs >= 0 && ageMs < maxAgeMs
}

/** Whether what is good until a moment is good now; null is for ever. See {@link isYoung}. */
export function isStillValid(validUntilMs: number | null, nowMs: number): boolean {
  return validUntilMs === null || isYoung(validUntilMs - ANSWERS_FRESH_MS, ANSWERS_FRESH_MS, nowMs)
}
