/**
 * How long do system packages take on a bookworm base, from a local mirror: resolve, fetch, lay down and register, beside
 * `apt-get install` of the same packages from the same mirror in a chroot of the same base?
 *
 * `--root FOLDER` is a bookworm root file system whose apt knows the mirror; it is copied for each of apt's runs. `--mirror` is
 * the mirror's address (with `debian` and `debian-security` below it). Median of `--runs` (3). Prints JSON. Needs root,
 * chroot, GNU time, and the program built (`npm run build`).
 *
 * `node bench/system.ts --root FOLDER --mirror http://127.0.0.1:8080 [--runs 3]`
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'

const run = promisify(execFile)
const PACKAGES = ['ffmpeg', 'libgl1', 'libglib2.0-0', 'git']
const { values: options } = parseArgs({
  options: {
    root: { type: 'string' },
    mirror: { type: 'string', default: '' },
    runs: { type: 'string', default: '3' },
    dist: { type: 'string', default: 'dist' },
  },
})
const { root } = options
if (root === undefined) throw new TypeError('Say where the root file system lies: --root FOLDER')

interface Cost {
  readonly seconds: number
  readonly peakMegabytes: number
}

const folder = await mkdtemp(join(tmpdir(), 'lw-bench-system-'))
try {
  const ours: Cost[] = []
  const apt: Cost[] = []
  for (let round = 0; round < Number(options.runs); round++) {
    ours.push(await layDown())
    apt.push(await aptInstall(root, join(folder, `root-${round}`)))
  }
  const report = { packages: PACKAGES, ours: median(ours), apt: median(apt) }
  const ratio = report.ours.seconds / report.apt.seconds
  console.log(
    JSON.stringify({ ...report, ratio, cores: cpus().length, load: loadavg()[0], node: process.version }, null, 2),
  )
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function layDown(): Promise<Cost> {
  const script = join(import.meta.dirname, 'system/lay-down.mjs')
  return timed(process.execPath, [script, options.dist, root ?? '', options.mirror, ...PACKAGES])
}

// Copying the root file system is not counted.
async function aptInstall(from: string, to: string): Promise<Cost> {
  await run('cp', ['-a', from, to])
  const line = `DEBIAN_FRONTEND=noninteractive apt-get install -q=2 -y --no-install-recommends ${PACKAGES.join(' ')}`
  const cost = await timed('chroot', [to, 'sh', '-ec', `apt-get update -q=2 && ${line}`])
  await rm(to, { recursive: true, force: true })
  return cost
}

async function timed(command: string, args: readonly string[]): Promise<Cost> {
  const file = join(folder, 'time')
  await run('/usr/bin/time', ['-f', '%e %M', '-o', file, command, ...args], { maxBuffer: 1 << 26 })
  const [seconds = 0, kilobytes = 0] =
    (await readFile(file, 'utf8')).trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
  return { seconds, peakMegabytes: Math.round(kilobytes / 1000) }
}

function median(costs: readonly Cost[]): Cost {
  const sorted = costs.toSorted((a, b) => a.seconds - b.seconds)
  return {
    seconds: sorted[Math.floor(sorted.length / 2)]?.seconds ?? 0,
    peakMegabytes: Math.max(...costs.map((cost) => cost.peakMegabytes)),
  }
}
