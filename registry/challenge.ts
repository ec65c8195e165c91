/** One way of proving oneself that a server names in `WWW-Authenticate`. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`, `negotiate`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>
}

/**
 * Reads all challenges of a header, several in one line included.
 *
 * Tolerant where registries are careless: unquoted values with any characters, missing commas, a quote that is never
 * closed, escapes.
 *
 * @see RFC 9110 section 11.6.1
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  const pattern = /([^\s,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)(?:"|$)|([^\s,"]*)))?|[\s,"]+/g
  for (const [, name, quoted, plain] of header.matchAll(pattern)) {
    if (name === undefined) continue
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? plain
    const last = challenges.at(-1)
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} })
    else if (last !== undefined) last.parameters[name.toLowerCase()] ??= value
  }
  return challenges
}

/** The challenge this client answers: Bearer before Basic, nothing else. */
export function chooseChallenge(challenges: readonly Challenge[]): Challenge | undefined {
  const usable = (scheme: string) => (challenge: Challenge) => challenge.scheme === scheme
  const bearer = challenges.find(
    (challenge) => usable('bearer')(challenge) && challenge.parameters['realm'] !== undefined,
  )
  return bearer ?? challenges.find(usable('basic'))
}
