/**
 * Does the solver choose what apt chooses, today, for the common packages alone and in pairs?
 *
 * `--root FOLDER` is a Debian root file system with apt and lists (`apt-get update` was run in it). Needs root and chroot.
 * Prints JSON: how many requests agree, and each that does not. Needs the program built (`npm run build`).
 *
 * `node bench/debian-oracle.ts --root FOLDER [--suite bookworm] [--pairs 100]`
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'

const run = promisify(execFile)
const { values: options } = parseArgs({
  options: {
    root: { type: 'string' },
    suite: { type: 'string', default: 'bookworm' },
    pairs: { type: 'string', default: '100' },
    dist: { type: 'string', default: 'dist' },
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
const { resolveDebian } = (await load('src/debian/resolve.js')) as unknown as typeof import('../src/debian/resolve.ts')
const { parseStatus } = (await load('src/debian/status.js')) as unknown as typeof import('../src/debian/status.ts')
const { makeHttp } = (await load('src/core/http.js')) as unknown as typeof import('../src/core/http.ts')
const { memoryCache } = (await load('src/core/cache.js')) as unknown as typeof import('../src/core/cache.ts')

const context = { http: makeHttp(), cache: memoryCache(), now: () => new Date(), report: () => {} }
const status = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')
const installed = parseStatus(status).map(({ record }) => record)
const CACHES = ['-o', 'Dir::Cache::pkgcache=pkgcache.bin', '-o', 'Dir::Cache::srcpkgcache=srcpkgcache.bin']

const differences: object[] = []
const requests = [...COMMON.map((name) => [name]), ...pairs(Number(options.pairs))]
for (const packages of requests) {
  const args = [root, 'apt-get', ...CACHES, '-s', 'install', '--no-install-recommends', ...packages]
  const { stdout } = await run('chroot', args, { maxBuffer: 1 << 26 })
  const apt = [...stdout.matchAll(/^Inst ([^\s:]+)\S* (?:\[\S+\] )?\((\S+)/gm)].map(
    ([, name, version]) => `${name}=${version}`,
  )
  const lock = await resolveDebian({ suite: options.suite, architecture: 'amd64', packages, installed }, context)
  const ours = lock.packages.map((deb) => `${deb.package}=${deb.version}`)
  const missing = apt.filter((name) => !ours.includes(name))
  const extra = ours.filter((name) => !apt.includes(name))
  if (missing.length + extra.length > 0) differences.push({ packages, missing, extra })
}
console.log(
  JSON.stringify({ requests: requests.length, equal: requests.length - differences.length, differences }, null, 2),
)

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
