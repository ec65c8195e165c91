import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
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
  /** What serving the wheels, and taking the image, took of the same processors. */
  readonly indexCpuSeconds?: number
  readonly registryCpuSeconds?: number
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

/** What a process, those below it and the ended ones among them have used so far. */
export async function usedBy(pid: number | undefined): Promise<Omit<Cost, 'seconds'>> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = new Map<number, number>()
  for (const one of processes) {
    const fields = await statFields(one).catch(() => undefined)
    if (fields !== undefined) parents.set(one, fields[1] ?? 0)
  }
  const isBelow = (one: number): boolean => {
    for (let at: number | undefined = one; at !== undefined && at !== 0; at = parents.get(at))
      if (at === pid) return true
    return false
  }
  const used = await Promise.all([...parents.keys()].filter(isBelow).map(usedByOne))
  return {
    cpuSeconds: used.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    writtenMegabytes: used.reduce((sum, { writtenMegabytes }) => sum + writtenMegabytes, 0),
    peakMegabytes: Math.max(...used.map(({ peakMegabytes }) => peakMegabytes)),
  }
}

async function usedByOne(pid: number): Promise<Omit<Cost, 'seconds'>> {
  const [io, status] = await Promise.all(['io', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8')))
  // utime, stime, cutime and cstime, in hundredths.
  const ticks = (await statFields(pid)).slice(11, 15).reduce((sum, field) => sum + field, 0)
  return {
    cpuSeconds: ticks / 100,
    writtenMegabytes: Number(/^write_bytes: (\d+)/m.exec(io ?? '')?.[1]) / 1e6,
    peakMegabytes: (Number(/^VmHWM:\s+(\d+)/m.exec(status ?? '')?.[1]) * 1024) / 1e6,
  }
}

/** The fields of `stat` from the third on: after the name, which may hold anything. */
async function statFields(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}
