import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Io } from './command.ts'
import { readKeyPair, type KeyPair, type TlsFlags } from './read-key-pair.ts'
import { LOOK_MS, watchFiles } from './watch-files.ts'

/**
 * Reads a certificate and its key again when they change, and on SIGHUP. Those with problems are told of and change nothing.
 *
 * @returns ends it
 */
export function watchKeyPair(flags: TlsFlags, use: (pair: KeyPair) => void, { cwd, report }: Io): () => void {
  const { tlsCert, tlsKey } = flags
  if (tlsCert === undefined || tlsKey === undefined) return () => {}
  return watchFiles([resolve(cwd, tlsCert), resolve(cwd, tlsKey)], async () => {
    // Of two files that are replaced, one is first.
    await delay(LOOK_MS)
    try {
      const pair = await readKeyPair(flags, cwd)
      if (pair === undefined) return
      use(pair)
      const until = new Date(pair.endsAtMs).toISOString().slice(0, 10)
      report({ type: 'note', level: 'info', text: `Read again: \`${tlsCert}\`, which ends on ${until}` })
      warnOfEnd(pair, tlsCert, report)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      report({ type: 'note', level: 'warning', text: `The certificate stays as it is: ${reason}` })
    }
  })
}

/** Clients refuse a certificate that has ended, and say so in many words or none. */
export function warnOfEnd({ endsAtMs }: KeyPair, name: string, report: Io['report'], nowMs = Date.now()): void {
  if (nowMs < endsAtMs) return
  const day = new Date(endsAtMs).toISOString().slice(0, 10)
  report({
    type: 'note',
    level: 'warning',
    text: `The certificate ended on ${day}, so that clients refuse it: \`${name}\``,
  })
}
