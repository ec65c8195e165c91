/**
 * How long do system packages take on a bookworm base, from a local mirror: resolve, fetch, lay down and register, beside
 * `apt-get install` of the same packages from the same mirror in a container of the same base?
 *
 * Ours starts with an empty store and a new process; apt starts with a copy of the base (copying is not counted) and
 * runs `apt-get update` and `install`, its lists empty as in an image. Both take turns. The mirror fetches what it lacks from
 * Debian before the first counted run. Medians of `--runs` (3), peaks as GNU time gives them. Prints JSON.
 *
 * Needs root, debootstrap, unshare, chroot, GNU time, and the program built (`npm run build`):
 * `node bench/system.ts [--runs 3] [--keep FOLDER] [--node node]` with Node 22.18 or newer; `--keep` holds mirror and
 * base for the next time, `--node` is the Node that runs the program.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseArgs, promisify } from 'node:util'

const run = promisify(execFile)
const PACKAGES = ['ffmpeg', 'libgl1', 'libglib2.0-0', 'git']
const { values: options } = parseArgs({
  options: {
    keep: { type: 'string' },
    runs: { type: 'string', default: '3' },
    upstream: { type: 'string', default: 'http://deb.debian.org' },
    dist: { type: 'string', default: 'dist' },
    only: { type: 'string' },
    node: { type: 'string', default: process.execPath },
  },
})

interface Cost {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakMegabytes: number
  readonly detail?: unknown
}

const scratch = await mkdtemp(join(tmpdir(), 'lw-bench-system-'))
const keep = options.keep ?? scratch
const mirror = await startMirror(join(keep, 'mirror'))
try {
  const root = await makeBase(join(keep, 'base'), mirror.url)
  const contestants = { ours: () => layDown(root), apt: () => aptInstall(root) }
  const chosen = Object.entries(contestants).filter(([name]) => options.only === undefined || name === options.only)
  // Once without counting: the mirror learns what it needs.
  for (const [, work] of chosen) await work()
  const costs = new Map<string, Cost[]>(chosen.map(([name]) => [name, []]))
  for (let round = 0; round < Number(options.runs); round++) {
    for (const [name, work] of chosen) costs.get(name)?.push(await work())
  }
  const medians = Object.fromEntries([...costs].map(([name, all]) => [name, median(all)]))
  const ratio = (medians['ours']?.seconds ?? Number.NaN) / (medians['apt']?.seconds ?? Number.NaN)
  const machine = { cores: cpus().length, load: loadavg()[0], node: process.version }
  console.log(JSON.stringify({ packages: PACKAGES, ...medians, ratio, ...machine }, null, 2))
} finally {
  mirror.stop()
  await rm(scratch, { recursive: true, force: true })
}

async function startMirror(folder: string): Promise<{ readonly url: string; stop(): void }> {
  const script = join(import.meta.dirname, 'system/mirror.mjs')
  const child = spawn(process.execPath, [script, folder, options.upstream], { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout })) return { url: line, stop: () => child.kill() }
  throw new Error('The mirror did not start')
}

// As the official slim image: its package set, no lists, no archives of packages.
async function makeBase(folder: string, url: string): Promise<string> {
  if ((await stat(join(folder, 'var/lib/dpkg/status')).catch(() => undefined)) === undefined) {
    await mkdir(folder, { recursive: true })
    await run('debootstrap', ['--variant=minbase', 'bookworm', folder, `${url}/debian`], { maxBuffer: 1 << 26 })
    await rm(join(folder, 'var/cache/apt'), { recursive: true })
    await rm(join(folder, 'var/lib/apt/lists'), { recursive: true })
    for (const name of ['var/cache/apt/archives/partial', 'var/lib/apt/lists/partial']) {
      await mkdir(join(folder, name), { recursive: true })
    }
  }
  const line = (archive: string, suite: string): string => `deb ${url}/${archive} ${suite} main\n`
  const lines = [
    line('debian', 'bookworm'),
    line('debian', 'bookworm-updates'),
    line('debian-security', 'bookworm-security'),
  ]
  await writeFile(join(folder, 'etc/apt/sources.list'), lines.join(''))
  return folder
}

async function layDown(root: string): Promise<Cost> {
  const script = join(import.meta.dirname, 'system/lay-down.mjs')
  return timed(options.node, [script, options.dist, root, mirror.url, ...PACKAGES])
}

async function aptInstall(root: string): Promise<Cost> {
  const copy = join(scratch, 'root')
  await run('cp', ['-a', root, copy])
  const install = `DEBIAN_FRONTEND=noninteractive apt-get install -q=2 -y --no-install-recommends ${PACKAGES.join(' ')}`
  const inner = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" /bin/sh -ec "$2"'
  const line = `apt-get update -q=2 && ${install} >/dev/null`
  const cost = await timed('unshare', ['--mount', '--fork', 'sh', '-ec', inner, 'sh', copy, line])
  await rm(copy, { recursive: true, force: true })
  return cost
}

async function timed(command: string, args: readonly string[]): Promise<Cost> {
  const file = join(scratch, 'time')
  const { stdout } = await run('/usr/bin/time', ['-f', '%e %U %S %M', '-o', file, command, ...args], {
    maxBuffer: 1 << 26,
    env: { ...process.env, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
  })
  const line = (await readFile(file, 'utf8')).trim().split('\n').at(-1) ?? ''
  const [seconds = 0, user = 0, system = 0, kilobytes = 0] = line.split(' ').map(Number)
  const detail = stdout.startsWith('{') ? { detail: JSON.parse(stdout) as unknown } : {}
  return { seconds, cpuSeconds: user + system, peakMegabytes: Math.round(kilobytes / 1000), ...detail }
}

function median(costs: readonly Cost[]): Cost {
  const sorted = costs.toSorted((a, b) => a.seconds - b.seconds)
  const middle = sorted[Math.floor(sorted.length / 2)]
  if (middle === undefined) throw new RangeError('No runs')
  return { ...middle, peakMegabytes: Math.max(...costs.map((cost) => cost.peakMegabytes)) }
}
