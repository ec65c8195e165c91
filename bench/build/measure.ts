import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** What a command cost, with everything that it started. */
export interface Cost {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of the largest process. */
  readonly peakMegabytes: number
  readonly writtenMegabytes: number
  readonly registryMegabytes?: number
  /** What the index gave. */
  readonly indexMegabytes?: number
  readonly indexRequests?: number
  readonly registryRequests?: number
}

type Environment = Readonly<Record<string, string>>

/** Runs a program to its end and gives what it printed. */
export async function run(program: string, args: readonly string[], env: Environment = {}): Promise<string> {
  const { stdout } = await execute(program, args, { maxBuffer: 2 ** 28, env: { ...process.env, ...env } })
  return stdout
}

/** Runs a command under GNU time. */
export async function timed(command: readonly string[], env: Environment = {}): Promise<Cost> {
  const format = '%e %U %S %M %O'
  const { stderr } = await execute('/usr/bin/time', ['-f', format, ...command], {
    maxBuffer: 2 ** 28,
    env: { ...process.env, ...env },
  })
  const numbers = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
  const [seconds = 0, user = 0, system = 0, kilobytes = 0, blocks = 0] = numbers
  return {
    seconds,
    cpuSeconds: user + system,
    peakMegabytes: (kilobytes * 1024) / 1e6,
    writtenMegabytes: (blocks * 512) / 1e6,
  }
}

/** The median of each number. */
export function medians(costs: readonly Cost[]): Cost {
  const names = new Set(costs.flatMap((cost) => Object.keys(cost) as (keyof Cost)[]))
  const middle = (name: keyof Cost): number =>
    costs.map((cost) => cost[name] ?? 0).toSorted((a, b) => a - b)[Math.floor(costs.length / 2)] ?? Number.NaN
  return Object.fromEntries([...names].map((name) => [name, middle(name)])) as unknown as Cost
}

/** Adds up what several commands cost, one after the other. */
export function sum(costs: readonly Cost[]): Cost {
  return {
    seconds: costs.reduce((all, { seconds }) => all + seconds, 0),
    cpuSeconds: costs.reduce((all, { cpuSeconds }) => all + cpuSeconds, 0),
    peakMegabytes: Math.max(...costs.map(({ peakMegabytes }) => peakMegabytes)),
    writtenMegabytes: costs.reduce((all, { writtenMegabytes }) => all + writtenMegabytes, 0),
  }
}

/** The same with two digits behind the point. */
export function round(cost: Cost): Cost {
  return Object.fromEntries(
    Object.entries(cost).map(([key, value]) => [key, Number(value.toFixed(2))]),
  ) as unknown as Cost
}
