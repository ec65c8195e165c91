import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@redis/client'
import { predict } from './server.ts'

/** Predictions in a second over HTTP, from so many clients that ask one after the other. */
export async function overHttp(port: number, clients: number, seconds: number, isBatch: boolean): Promise<number> {
  let count = 0
  const until = performance.now() + seconds * 1000
  const client = async (seed: number): Promise<void> => {
    while (performance.now() < until) {
      const answer = await predict(port, { seeds: isBatch ? seed : [seed] })
      if (answer.status !== 'succeeded') throw new Error(`a prediction ${answer.status}: ${answer.error}`)
      count++
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: clients }, (_, seed) => client(seed)))
  return perSecond(count, began)
}

/** Predictions in a second that a worker takes from a queue which holds all of them. */
export async function fromQueue(url: string, jobs: number, isBatch: boolean): Promise<number> {
  const client = await createClient({ url }).connect()
  try {
    const group = async (): Promise<{ readonly pending: number; readonly read: number }> => {
      const groups = (await client.xInfoGroups('predictions').catch(() => [])) as unknown as Record<string, number>[]
      return { pending: groups[0]?.['pending'] ?? 0, read: groups[0]?.['entries-read'] ?? 0 }
    }
    const before = await group()
    const began = performance.now()
    const add = async (seed: number): Promise<unknown> =>
      client.xAdd('predictions', '*', {
        value: JSON.stringify({ id: `job-${seed}-${began}`, input: { seeds: isBatch ? seed : [seed] } }),
      })
    await Promise.all(Array.from({ length: jobs }, (_, seed) => add(seed)))
    for (;;) {
      const { pending, read } = await group()
      if (read - before.read >= jobs && pending === 0) return perSecond(jobs, began)
      if (performance.now() - began > 120_000) throw new Error(`${read} of ${jobs} were read, ${pending} are held`)
      await sleep(10)
    }
  } finally {
    client.destroy()
  }
}

function perSecond(count: number, began: number): number {
  return Math.round((count * 10_000) / (performance.now() - began)) / 10
}
