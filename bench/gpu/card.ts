import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** One line of `nvidia-smi` for the first GPU. */
async function query(fields: string): Promise<string[]> {
  const { stdout } = await run('nvidia-smi', [`--query-gpu=${fields}`, '--format=csv,noheader,nounits', '-i', '0'])
  return stdout.trim().split(', ')
}

/** Name, driver and memory of the first GPU; undefined where nothing tells. */
export async function describeCard(): Promise<string | undefined> {
  try {
    const [name, driver, total] = await query('name,driver_version,memory.total')
    return `${name}, ${total} MiB, driver ${driver}`
  } catch {
    // No nvidia-smi: a machine without a GPU, on which the way itself can be tried.
    return undefined
  }
}

/** Memory of the first GPU that is taken, in MiB. */
export async function usedMegabytes(): Promise<number> {
  return Number((await query('memory.used'))[0])
}

/** Waits until no more is taken than before. @returns the seconds that it took, or what is still taken after ten */
export async function freed(before: number): Promise<number | string> {
  const began = performance.now()
  for (;;) {
    const used = await usedMegabytes()
    const seconds = Math.round((performance.now() - began) / 10) / 100
    if (used <= before + 8) return seconds
    if (seconds > 10) return `${used} MiB are still taken, ${before} MiB were before`
    await sleep(50)
  }
}

/** The processes that have CUDA's driver library loaded: the model of a server, and nothing else here. */
export async function cudaProcesses(): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const maps = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/maps`, 'utf8').catch(() => '')))
  return pids.filter((_, index) => maps[index]?.includes('/libcuda.so'))
}
