import { setTimeout as sleep } from 'node:timers/promises'
import type { Probe, ProbeAnswer, Rule } from './rule.ts'

/** On Linux all of 127.0.0.0/8 is this machine: a server that took 127.0.0.1 alone is not there. */
const OTHER_ADDRESS = '127.0.0.2'

/** A platform asks from outside of the container. */
export const listensEverywhere: Rule = {
  name: 'the server listens on every address, not on 127.0.0.1 alone',
  why: 'the platform asks from outside of the container',
  async check(probe) {
    if (process.platform !== 'linux') return undefined
    const answer = await probe.ask('GET', '/', { host: OTHER_ADDRESS })
    return answer === undefined ? 'it does not; is LAYERWRIGHT_HOST set in the image?' : undefined
  },
}

/**
 * What a platform promises its users at a scale-down: SIGTERM, then a time for what runs.
 *
 * The rules come last, since the server has ended after them.
 *
 * @param seconds  until the platform kills
 */
export function drains(seconds: number, path: string, bodyOf: (input: Probe['input']) => unknown): readonly Rule[] {
  const why = `the platform kills ${seconds} s after SIGTERM`
  return [
    {
      name: 'a prediction that runs at SIGTERM is answered',
      why,
      async check(probe) {
        const predict = () => probe.ask('POST', path, { body: bodyOf(probe.input), timeoutMs: 60_000 })
        const before = await predict()
        const running = predict()
        // A quick one has ended by then, and nothing can be lost. A server that is slow to answer is slow to hear, too.
        await sleep(Math.max(RUNNING_MS, (before?.milliseconds ?? 0) / 4))
        probe.terminate()
        return judge(before, await running, seconds)
      },
    },
    {
      name: `SIGTERM ends the server within ${seconds} s`,
      why,
      async check(probe) {
        const waited = new AbortController()
        const late = sleep(seconds * 1000, 'late' as const, { signal: waited.signal })
        const status = await Promise.race([probe.exit, late]).finally(() => waited.abort())
        if (status === 'late') return 'it went on'
        return status === 0 ? undefined : `its exit status was ${status}`
      },
    },
  ]
}

const RUNNING_MS = 300

function judge(before: ProbeAnswer | undefined, after: ProbeAnswer | undefined, seconds: number): string | undefined {
  if (before === undefined || before.milliseconds > seconds * 1000) return undefined
  if (after === undefined) return 'its connection was broken'
  return after.status === before.status ? undefined : `it was answered ${after.status}, ${before.status} before`
}
