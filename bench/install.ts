/**
 * What does installing wheels cost when the result is layers, beside `uv pip install --target` into a folder (which still
 * has to be packed, compressed and hashed)?
 *
 * `--wheels FOLDER` holds the wheels. uv installs them from the folder with a cold cache; it is left out when it is not
 * installed. Median of `--runs` (3). Prints JSON. Needs GNU time; the program built (`npm run build`). Node 22.18 or newer
 * runs it as it is; `--node` names the Node that makes the layers.
 *
 * `node bench/install.ts --wheels FOLDER [--runs 3] [--dist dist] [--node node]`
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
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
    scratch: { type: 'string', default: tmpdir() },
  },
})
if (options.wheels === undefined) throw new TypeError('Say where the wheels lie: --wheels FOLDER')
const source = options.wheels
const wheels = (await readdir(source)).filter((name) => name.endsWith('.whl')).map((name) => path.join(source, name))
const hasUv = await run('uv', ['--version']).then(
  () => true,
  () => false,
)
const make = path.join(import.meta.dirname, 'layers/make.mjs')
const ways: Record<string, (folder: string) => string[]> = {
  layers: (folder) => [options.node, make, path.resolve(options.dist), folder, 'diffid', ...wheels],
  ...(hasUv
    ? {
        'uv --target': (folder: string) => [
          'uv',
          'pip',
          'install',
          '-q',
          '--no-deps',
          '--no-index',
          '--no-cache',
          '--target',
          path.join(folder, 'site'),
          ...wheels,
        ],
      }
    : {}),
}

const costs: Record<string, Record<'seconds' | 'cpuSeconds' | 'peakMegabytes', number>[]> = {}
for (let round = 0; round < Number(options.runs); round++) {
  for (const [name, command] of Object.entries(ways)) {
    const folder = await mkdtemp(path.join(options.scratch, 'lw-bench-install-'))
    try {
      const { stderr } = await run('/usr/bin/time', ['-f', '%e %U %S %M', ...command(folder)], { maxBuffer: 2 ** 26 })
      const [seconds = 0, user = 0, system = 0, kilobytes = 0] = (stderr.trim().split('\n').at(-1) ?? '')
        .split(' ')
        .map(Number)
      ;(costs[name] ??= []).push({ seconds, cpuSeconds: user + system, peakMegabytes: kilobytes / 1000 })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}
const result = {
  question: 'wheels on disk -> installed',
  machine: `${cpus().length} x ${cpus()[0]?.model}, node ${(await run(options.node, ['--version'])).stdout.trim()}`,
  load: loadavg()[0],
  wheels: wheels.length,
  runs: Object.fromEntries(
    Object.entries(costs).map(([name, runs]) => [
      name,
      { median: runs.toSorted((a, b) => a.seconds - b.seconds)[Math.floor(runs.length / 2)], all: runs },
    ]),
  ),
}
process.stdout.write(`${JSON.stringify(result, undefined, 1)}\n`)
