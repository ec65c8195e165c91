/**
 * What does it cost to lay a large file of weights, beside compressing it?
 *
 * A file of `--size` MiB of random bits, as weights nearly are: as a `weight-set` layer (samples decide, framed as it is,
 * proven by its hash on the way) and through gzip, with the diffId in both cases; each in a process of its own,
 * median of `--runs`. Prints JSON.
 *
 * Node 22.18 or newer runs it as it is, the program built (`npm run build`): `node bench/weights.ts [--size 1024] [--runs 3]`.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { layerOfEntries } from '../layers/files.ts'
import { weightSetKind } from '../layers/kinds/weight-set.ts'
import { openPath } from '../src/core/file-access.ts'
import { hashFile } from '../src/core/hash-file.ts'
import { silent } from '../src/core/progress.ts'

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '3' },
    way: { type: 'string' },
    file: { type: 'string', default: '' },
  },
})

if (values.way === undefined) console.log(JSON.stringify(await compare(), undefined, 2))
else console.log(JSON.stringify(await measure(values.way, values.file)))

interface Cost {
  readonly cpuSeconds: number
  readonly peakMB: number
  readonly bytes: number
}

async function compare(): Promise<unknown> {
  const folder = await mkdtemp(path.join(tmpdir(), 'bench-weights-'))
  try {
    const file = path.join(folder, 'model.bin')
    const handle = await open(file, 'w')
    for (let mib = 0; mib < Number(values.size); mib++) await handle.write(randomBytes(2 ** 20))
    await handle.close()
    const costs: Record<string, Cost> = {}
    for (const way of ['weight-set', 'gzip']) {
      const runs: Cost[] = []
      for (let run = 0; run < Number(values.runs); run++) runs.push(await inProcess(way, file))
      const [median] = runs.toSorted((a, b) => a.cpuSeconds - b.cpuSeconds).slice(Math.floor(runs.length / 2))
      if (median !== undefined) costs[way] = median
    }
    return { sizeMiB: Number(values.size), node: process.version, cpu: cpus()[0]?.model, costs }
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function inProcess(way: string, file: string): Promise<Cost> {
  const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, '--way', way, '--file', file])
  return JSON.parse(stdout) as Cost
}

async function measure(way: string, file: string): Promise<Cost> {
  const { sha256, sizeBytes } = await hashFile(file)
  const before = process.cpuUsage()
  const projectFolder = path.dirname(file)
  const layer =
    way === 'gzip'
      ? layerOfEntries([{ kind: 'file', path: 'm', mode: 0o644, sizeBytes, open: openPath(file) }])
      : await weightSetKind.make(
          { kind: 'weight-set', files: [{ path: 'm', url: `project:${path.basename(file)}`, sha256, sizeBytes }] },
          { projectFolder, report: silent, openRemote: () => Promise.reject(new TypeError('Nothing is fetched')) },
        )
  let bytes = 0
  for await (const chunk of layer.blob) bytes += chunk.length
  const { user, system } = process.cpuUsage(before)
  return { cpuSeconds: (user + system) / 1e6, peakMB: process.resourceUsage().maxRSS / 1000, bytes }
}
