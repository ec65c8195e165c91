import type { DebFacts } from '../src/debian/facts.ts'
import type { LayerContext } from './context.ts'

/** Facts that a layer has promised to learn while it lays packages down. */
export interface FactsPromises {
  /** Keeps one promise, for this build and later ones. */
  keep(sha256: string, facts: DebFacts): Promise<void>
  /** Lets those go that were not kept: whoever waits reads the package itself. */
  giveUp(): void
}

/** Facts of one build by SHA-256; undefined when who promised them gave up. */
type Known = Map<string, Promise<DebFacts | undefined>>

/**
 * One build makes its layers side by side, each with a context of its own; what they share is how they fetch.
 *
 * Laying down and registering need one pass over each package that way, not two.
 */
const knownByBuild = new WeakMap<LayerContext['openRemote'], Known>()

/**
 * Facts that a layer of this build has learned, or is about to learn; undefined when none promised them or who did gave up.
 *
 * @throws the signal's reason when the build is given up meanwhile
 */
export async function factsOf(sha256: string, context: LayerContext): Promise<DebFacts | undefined> {
  const { signal, openRemote } = context
  const promised = knownOf(openRemote).get(sha256)
  if (promised === undefined || signal === undefined) return promised
  signal.throwIfAborted()
  let giveUp = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
  })
  try {
    return await Promise.race([promised, aborted])
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

/** Promises facts of packages. Call it before anything is read, and `giveUp` at the end in any case. */
export function promiseFacts(debs: readonly { readonly sha256: string }[], context: LayerContext): FactsPromises {
  const known = knownOf(context.openRemote)
  const open = new Map<string, (facts: DebFacts | undefined) => void>()
  for (const { sha256 } of debs) {
    known.set(
      sha256,
      new Promise((resolve) => {
        open.set(sha256, resolve)
      }),
    )
  }
  return {
    keep: async (sha256, facts) => {
      open.get(sha256)?.(facts)
      open.delete(sha256)
      await context.facts?.set(sha256, facts)
    },
    giveUp: () => {
      for (const [sha256, settle] of open) {
        known.delete(sha256)
        settle(undefined)
      }
    },
  }
}

function knownOf(openRemote: LayerContext['openRemote']): Known {
  const known = knownByBuild.get(openRemote) ?? new Map<string, Promise<DebFacts | undefined>>()
  knownByBuild.set(openRemote, known)
  return known
}
