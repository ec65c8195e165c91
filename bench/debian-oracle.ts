/**
 * Does the solver choose what apt chooses, today, for the common packages alone and in pairs?
 *
 * `--root FOLDER` is a Debian root file system with apt and lists (`apt-get update` was run in it). Needs root and chroot.
 * Prints JSON: how many requests agree, and each that does not. Needs the program built (`npm run build`).
 *
 * `node bench/debian-oracle.ts --root FOLDER [--suite bookworm] [--pairs 100] [--record FILE]` with Node 22.18 or newer.
 * `--record fixtures/debian/bookworm-excerpt.json.gz` writes requests, apt's answers, what the root file system has and the
 * part of the index that they can lead to, for `test/debian/oracle.test.ts`.
 */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import type { PackageRecord } from '../src/debian/package-record.ts'

const run = promisify(execFile)
const { values: options } = parseArgs({
  options: {
    root: { type: 'string' },
    suite: { type: 'string', default: 'bookworm' },
    pairs: { type: 'string', default: '100' },
    dist: { type: 'string', default: 'dist' },
    record: { type: 'string' },
  },
})
const { root } = options
if (root === undefined) throw new TypeError('Say where the root file system lies: --root FOLDER')

const COMMON =
  'ffmpeg libgl1 build-essential libsndfile1 espeak-ng curl wget libsm6 libxext6 libxrender1 libgomp1 cmake zip libopenblas-dev libmagic1 sox libsox-dev tesseract-ocr poppler-utils libpq-dev libjpeg-dev libturbojpeg0 libegl1 libgles2 libosmesa6 xvfb python3-dev ninja-build aria2 jq libcairo2-dev fonts-dejavu-core libboost-all-dev portaudio19-dev default-jre-headless libgoogle-perftools4 libvulkan1 libasound2 ca-certificates clang imagemagick libhdf5-dev procps tzdata locales fontconfig libglib2.0-0 redis-server openssh-client git git-lfs pkg-config unzip graphviz rsync sudo nodejs'.split(
    ' ',
  )

const load = (path: string): Promise<Record<string, (...args: never[]) => unknown>> =>
  import(join(process.cwd(), options.dist, path)) as never
const { readUniverse } = (await load(
  'src/debian/read-universe.js',
)) as unknown as typeof import('../src/debian/read-universe.ts')
const { debianSources } = (await load('src/debian/source.js')) as unknown as typeof import('../src/debian/source.ts')
const { solve } = (await load('src/debian/solver.js')) as unknown as typeof import('../src/debian/solver.ts')
const { RECORD_FIELDS } = (await load(
  'src/debian/package-record.js',
)) as unknown as typeof import('../src/debian/package-record.ts')
const { parseStatus } = (await load('src/debian/status.js')) as unknown as typeof import('../src/debian/status.ts')
const { makeHttp } = (await load('src/core/http.js')) as unknown as typeof import('../src/core/http.ts')
const { memoryCache } = (await load('src/core/cache.js')) as unknown as typeof import('../src/core/cache.ts')

const context = { http: makeHttp(), cache: memoryCache(), now: () => new Date(), report: () => {} }
const { universe } = await readUniverse(debianSources(options.suite), 'amd64', context)
const status = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')
const installed = parseStatus(status).map(({ record }) => record)
const CACHES = ['-o', 'Dir::Cache::pkgcache=pkgcache.bin', '-o', 'Dir::Cache::srcpkgcache=srcpkgcache.bin']

const cases: { readonly ask: readonly string[]; readonly get: readonly string[] }[] = []
const differences: object[] = []
for (const packages of [...COMMON.map((name) => [name]), ...pairs(Number(options.pairs))]) {
  const args = [root, 'apt-get', ...CACHES, '-s', 'install', '--no-install-recommends', ...packages]
  const { stdout } = await run('chroot', args, { maxBuffer: 1 << 26 })
  const apt = [...stdout.matchAll(/^Inst ([^\s:]+)\S* (?:\[\S+\] )?\((\S+)/gm)].map(
    ([, name, version]) => `${name}=${version}`,
  )
  const ours = solve({ packages, universe, installed, architecture: 'amd64' }).map(
    ({ record }) => `${record.name}=${record.version}`,
  )
  cases.push({ ask: packages, get: apt.sort() })
  const missing = apt.filter((name) => !ours.includes(name))
  const extra = ours.filter((name) => !apt.includes(name))
  if (missing.length + extra.length > 0) differences.push({ packages, missing, extra })
}
if (options.record !== undefined) await writeFile(options.record, excerpt())
console.log(JSON.stringify({ requests: cases.length, equal: cases.length - differences.length, differences }, null, 2))

function excerpt(): Buffer {
  const reached = reachable([...COMMON, ...installed.map(({ name }) => name)])
  const lines = [...reached.values()]
    .flat()
    .sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1))
    .map(lineOf)
  const packed = gzipSync(JSON.stringify({ indexes: [lines], installed: installed.map(lineOf), cases }), { level: 9 })
  // The tenth byte names the host's system.
  packed[9] = 255
  return packed
}

/** Everything that a request for these names can lead to, by whatever alternative. */
function reachable(names: readonly string[]): Map<string, readonly PackageRecord[]> {
  const found = new Map<string, readonly PackageRecord[]>()
  const waiting = [...names]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue
    const versions = universe.versionsOf(name)
    found.set(name, versions)
    waiting.push(...universe.providersOf({ name }).map((record) => record.name))
    for (const record of versions) {
      for (const field of ['pre-depends', 'depends'] as const) {
        waiting.push(...record.clauses(field).flatMap((clause) => clause.map((relation) => relation.name)))
      }
    }
  }
  return found
}

// The solver reads neither files nor sizes; digests would make most of the excerpt.
function lineOf(record: PackageRecord): string {
  const unread = new Set(['filename', 'size', 'sha256', 'installed-size'])
  return RECORD_FIELDS.map((field) => (unread.has(field) ? '' : record.field(field))).join('\t')
}

/** Pairs by fixed strides through the list, so that every package is in several. */
function pairs(count: number): string[][] {
  const found: string[][] = []
  for (let stride = 7; found.length < count; stride += 5) {
    for (const [index, name] of COMMON.entries()) {
      const other = COMMON[(index + stride) % COMMON.length] ?? name
      if (other !== name && found.length < count) found.push([name, other])
    }
  }
  return found
}
