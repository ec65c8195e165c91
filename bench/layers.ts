/**
 * How long does it take to turn wheels on disk into layers, with and without their diffIds, beside `tar | pigz -6` of
 * the same files unpacked, and beside the floor: inflating the layers and hashing them in C? And what does zstd cost, in
 * making, bytes and unpacking?
 *
 * `--wheels FOLDER` holds the wheels (`pip download -d FOLDER ...`). Unpacking is not counted for the peers. Median of
 * `--runs` (3). Prints JSON. Needs tar, pigz, gzip, zstd, openssl, unzip and GNU time; the program built (`npm run build`).
 * Node 22.18 or newer runs it as it is; `--node` names the Node that makes the layers.
 *
 * `node bench/layers.ts --wheels FOLDER [--runs 3] [--dist dist] [--node node] [--only blob,diffid,zstd,ungzip,unzstd,pigz,floor]`
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'

const run = promisify(execFile)

const { values: options } = parseArgs({
  options: {
    wheels: { type: 'string' },
    runs: { type: 'string', default: '3' },
    dist: { type: 'string', default: 'dist' },
    node: { type: 'string', default: process.execPath },
    only: { type: 'string', default: 'blob,diffid,zstd,ungzip,unzstd,pigz,floor' },
    scratch: { type: 'string', default: tmpdir() },
  },
})
if (options.wheels === undefined) throw new TypeError('Say where the wheels lie: --wheels FOLDER')

interface Cost {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakMegabytes: number
  /** Of the layers that were made. */
  readonly megabytes?: number | undefined
}

const folder = await mkdtemp(path.join(options.scratch, 'lw-bench-layers-'))
const wheels = (await readdir(options.wheels))
  .filter((name) => name.endsWith('.whl'))
  .map((name) => path.join(options.wheels ?? '', name))
const wanted = new Set(options.only.split(','))

try {
  const layers = path.join(folder, 'layers')
  await mkdir(layers)
  const ways: Record<string, () => Promise<Cost>> = {
    blob: () => make('blob', layers),
    diffid: () => make('diffid', layers),
    zstd: () => make('zstd', layers),
    ungzip: () => timed(`for f in ${layers}/*.tar.gz; do gzip -dc "$f"; done > /dev/null`),
    unzstd: () => timed(`for f in ${layers}/*.tar.zst; do zstd -dcq "$f"; done > /dev/null`),
    pigz: () =>
      timed(
        `tar -C ${path.join(folder, 'tree')} -cf - . | tee >(sha256sum >/dev/null) | pigz -6 -p ${cpus().length} | tee >(sha256sum >/dev/null) > ${folder}/pigz.tar.gz`,
      ),
    floor: () => timed(`for f in ${layers}/*.tar.gz; do openssl sha256 "$f"; gzip -dc "$f" | openssl sha256; done`),
  }
  if (wanted.has('pigz')) await unpack(path.join(folder, 'tree'))
  const costs: Record<string, Cost[]> = {}
  for (let round = 0; round < Number(options.runs); round++) {
    for (const [name, way] of Object.entries(ways)) if (wanted.has(name)) (costs[name] ??= []).push(await way())
  }
  const result = {
    question: 'wheels on disk -> layers',
    machine: `${cpus().length} x ${cpus()[0]?.model}, node ${(await run(options.node, ['--version'])).stdout.trim()}`,
    load: loadavg()[0],
    wheels: wheels.length,
    runs: Object.fromEntries(Object.entries(costs).map(([name, runs]) => [name, { median: median(runs), all: runs }])),
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 1)}\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function make(mode: 'blob' | 'diffid' | 'zstd', out: string): Promise<Cost> {
  const script = path.join(import.meta.dirname, 'layers/make.mjs')
  const { stdout } = await run(options.node, [script, path.resolve(options.dist), out, mode, ...wheels], {
    maxBuffer: 2 ** 26,
  })
  const { seconds, cpuSeconds, peakMegabytes, layers } = JSON.parse(stdout) as Cost & {
    readonly layers: readonly { readonly layerBytes: number }[]
  }
  const megabytes = layers.reduce((sum, { layerBytes }) => sum + layerBytes, 0) / 1e6
  return { seconds, cpuSeconds, peakMegabytes, megabytes }
}

async function unpack(tree: string): Promise<void> {
  await mkdir(tree)
  for (const wheel of wheels) await run('unzip', ['-q', '-o', wheel, '-d', tree], { maxBuffer: 2 ** 26 })
}

/** Runs a shell command under GNU time. */
async function timed(command: string): Promise<Cost> {
  const { stderr } = await run('/usr/bin/time', ['-f', '%e %U %S %M', 'bash', '-c', command], { maxBuffer: 2 ** 26 })
  const [seconds = 0, user = 0, system = 0, kilobytes = 0] = (stderr.trim().split('\n').at(-1) ?? '')
    .split(' ')
    .map(Number)
  return { seconds, cpuSeconds: user + system, peakMegabytes: kilobytes / 1000 }
}

function median(runs: readonly Cost[]): Cost {
  const middle = (of: (cost: Cost) => number): number =>
    runs.map(of).toSorted((a, b) => a - b)[Math.floor(runs.length / 2)] ?? Number.NaN
  return {
    seconds: middle(({ seconds }) => seconds),
    cpuSeconds: middle(({ cpuSeconds }) => cpuSeconds),
    peakMegabytes: middle(({ peakMegabytes }) => peakMegabytes),
    megabytes: runs[0]?.megabytes,
  }
}
