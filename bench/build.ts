/**
 * How long does it take from an index to an image in a registry: cold, again, with one thing changed, beside other builders
 * on the same inputs in the same run?
 *
 * Everything is local: the wheels of `--wheels` are served by an index of our own, images go to Debian's docker-registry, which
 * starts empty but for the base before every cold build. A peer that is not installed is left out and named. Prints JSON
 * (medians of `--runs`); `--detail` adds every run.
 *
 * `pip download -d .cache/wheels --only-binary :all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
 *   --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 torch==2.8.0 numpy pillow fastapi pydantic pip`
 * and the wheels of `python/launcher.lock.json`; then, with Node 22.18 or newer (which runs it as it is),
 * `node bench/build.ts --set half --ways all --base oci:FOLDER`
 *
 * `--ways lazy,cold,no-store,known,known-no-store,shared,again,code,requirement,peers` is everything that is compared, in one run
 * for one set. `known` has the lock file and nothing else; `shared` has a cache in the registry as well; `runner` builds with the lock file
 * and an empty store what the registry has under the same tag, but for a file of code (`runner-no-store`: without a store).
 *
 * What serves the wheels and takes the image runs on the same processors and is counted apart. `--nginx nginx` (Debian's
 * `nginx-light`) sends wheels without copying them; `--registry PROGRAM` is another build of the registry than Debian's of 2022, such as
 * `go install github.com/distribution/distribution/v3/cmd/registry@v3.0.0`.
 *
 * `--set synthetic:N:MB` asks for N wheels of MB megabytes together, which `bench/build/synthetic.mjs` makes while they are read.
 * `--ways lazy,cold` builds with tables for lazy pulling and without, each from nothing. `--ways parallel` builds eight times at once with one store, and counts the bytes that the index gave.
 *
 * BuildKit, where it is not installed: `go install` refuses its module for the replacements in it, so take the sources of
 * `go mod download -json github.com/moby/buildkit@latest`, `go build ./cmd/buildkitd ./cmd/buildctl` in a copy of them, and
 * name both with `--buildkitd` and `--buildctl`. Rootless it runs below RootlessKit (`go install
 * github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit@latest`) as `--rootless-user`, an account with subordinate ids that may
 * read what is named here; as itself where the benchmark is not run by root. Peers that keep something build again, with other code and another requirement.
 *
 * `--base` is an image that layerwright built with `python3-pip` among its system packages: its Debian layers become the
 * base of all. `--node` names the Node that runs the program.
 */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { medians, round, run, sum, timed, type Cost } from './build/measure.ts'
import type { Peer, PeerContext } from './build/peer.ts'
import { hasTool, NAMED_PEERS, peers } from './build/peers.ts'
import { startIndex, startRegistry } from './build/servers.ts'
import { requirementsOf, servedFor } from './build/sets.ts'

const { values: options } = parseArgs({
  options: {
    set: { type: 'string', default: 'half' },
    ways: { type: 'string', default: 'cold,known,again,code,requirement' },
    runs: { type: 'string', default: '3' },
    wheels: { type: 'string', default: '.cache/wheels' },
    base: { type: 'string' },
    node: { type: 'string', default: process.execPath },
    program: { type: 'string', default: 'bin/layerwright.mjs' },
    dist: { type: 'string', default: 'dist' },
    scratch: { type: 'string', default: tmpdir() },
    uv: { type: 'string', default: 'uv' },
    crane: { type: 'string', default: 'crane' },
    buildkitd: { type: 'string', default: 'buildkitd' },
    buildctl: { type: 'string', default: 'buildctl' },
    rootlesskit: { type: 'string', default: 'rootlesskit' },
    'rootless-user': { type: 'string', default: userInfo().username },
    registry: { type: 'string' },
    nginx: { type: 'string' },
    flags: { type: 'string', default: '' },
    detail: { type: 'boolean', default: false },
  },
})
if (options.base === undefined) throw new TypeError('Say what the images stand on: --base oci:FOLDER')
const requirements = requirementsOf(options.set)

const folder = await mkdtemp(path.join(options.scratch, 'lw-bench-build-'))
const program = path.resolve(options.program)
const flags = options.flags.split(' ').filter((flag) => flag !== '')
const wanted = new Set(options.ways.split(',').flatMap(waysOf))
const base = `oci:${path.join(folder, 'base')}`
const left: Record<string, string> = {}
const costs: Record<string, Cost[]> = {}
const wheelFolders = options.wheels.split(',').map((name) => path.resolve(name))
const index = await startIndex([...wheelFolders, ...servedFor(options.set)], folder, options.nginx)
let registry = await startRegistry(folder, options.registry)

try {
  await run(options.node, [path.resolve('bench/build/base.mjs'), path.resolve(options.dist), options.base, base])
  for (let round = 0; round < Number(options.runs); round++) {
    await ownRound()
    for (const [name, peer] of Object.entries(peers)) {
      if (!wanted.has(name)) continue
      const lacking = await peer.lacks(peerContext())
      if (lacking !== undefined) left[name] = lacking
      else {
        await emptyRegistry()
        // What the others have measured is not lost for one that fails; what it says is told.
        await peerRound(name, peer).catch((error: unknown) => (left[name] = String(error)))
      }
    }
  }
  const result = {
    question: 'index -> registry',
    set: options.set,
    machine: `${cpus().length} x ${cpus()[0]?.model}, node ${(await run(options.node, ['--version'])).trim()}`,
    load: loadavg()[0],
    medians: Object.fromEntries(Object.entries(costs).map(([name, all]) => [name, round(medians(all))])),
    ...(options.detail ? { runs: costs } : {}),
    notRun: left,
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 1)}\n`)
} finally {
  index.close()
  await registry.close()
  await rm(folder, { recursive: true, force: true })
}

function waysOf(word: string): string[] {
  if (word === 'all') return [...OWN_WAYS(), ...Object.keys(peers)]
  return word === 'peers' ? [...NAMED_PEERS] : [word]
}

function OWN_WAYS(): string[] {
  return ['lazy', 'cold', 'no-store', ...ELSEWHERE(), 'again', 'code', 'requirement', 'parallel']
}

/** Builds on a machine that has the lock file. */
function ELSEWHERE(): string[] {
  return ['known', 'known-no-store', 'shared', 'runner', 'runner-no-store']
}

/** Our own builds: each way starts where the one before it ended. */
async function ownRound(): Promise<void> {
  const own = OWN_WAYS().filter((way) => wanted.has(way))
  if (own.length === 0) return
  const project = path.join(folder, 'project')
  const store = path.join(folder, 'store')
  await rm(project, { recursive: true, force: true })
  await rm(store, { recursive: true, force: true })
  await writeProject(project, requirements)
  const build = (more: readonly string[] = [], storeFolder = store): Promise<Cost> => {
    const tag = `${registry.host}/lw/app:1`
    const args = [program, 'build', project, '--push', '-t', tag, '--quiet', ...flags, ...more]
    return counted(() => timed([options.node, ...args], { LAYERWRIGHT_CACHE: storeFolder }))
  }
  if (wanted.has('no-store')) {
    await emptyRegistry()
    keep('no-store', await build(['--no-store'], path.join(folder, 'none')))
  }
  if (wanted.has('lazy')) {
    const apart = path.join(folder, 'lazy')
    await emptyRegistry()
    keep('lazy', await build(['--lazy'], apart))
    await rm(apart, { recursive: true, force: true })
  }
  if (own.every((way) => way === 'no-store' || way === 'lazy')) return
  await emptyRegistry()
  keep('cold', await build())
  if (wanted.has('again')) keep('again', await build())
  if (wanted.has('code')) {
    await writeFile(path.join(project, 'helper.py'), `VALUE = ${Math.random()}\n`)
    keep('code', await build())
  }
  if (wanted.has('requirement')) {
    await writeProject(project, changedRequirements())
    keep('requirement', await build())
    await writeProject(project, requirements)
  }
  if (wanted.has('parallel')) {
    await emptyRegistry()
    await rm(store, { recursive: true, force: true })
    const together = async (): Promise<Cost> => {
      const all = await Promise.all(Array.from({ length: 8 }, (_, n) => build(['-t', `${registry.host}/lw/app${n}:1`])))
      return { ...sum(all), seconds: Math.max(...all.map((cost) => cost.seconds)) }
    }
    keep('parallel', await counted(together))
  }
  if (ELSEWHERE().some((way) => wanted.has(way))) {
    // The lock file knows what its layers become.
    await run(options.node, [program, 'lock', project], { LAYERWRIGHT_CACHE: store })
    await elsewhere(build, store, project)
  }
}

type Build = (more: readonly string[], storeFolder?: string) => Promise<Cost>

/** Builds with the lock file on a machine that has built nothing before. */
async function elsewhere(build: Build, store: string, project: string): Promise<void> {
  const apart = path.join(folder, 'elsewhere')
  if (wanted.has('shared')) {
    // Registry and cache have everything, the image's repository and the store nothing.
    const cache = `${registry.host}/lw/cache`
    await build(['--locked', '--cache-to', cache], store)
    keep('shared', await build(['--locked', '--cache-from', cache, '-t', `${registry.host}/lw/clone:1`], apart))
    await rm(apart, { recursive: true, force: true })
  }
  for (const [way, flags] of Object.entries({ runner: [], 'runner-no-store': ['--no-store'] })) {
    if (!wanted.has(way)) continue
    await build(['--locked'], store)
    await writeFile(path.join(project, 'helper.py'), `VALUE = ${Math.random()}\n`)
    keep(way, await build(['--locked', ...flags], apart))
    await rm(apart, { recursive: true, force: true })
  }
  for (const [way, flags] of Object.entries({ known: [], 'known-no-store': ['--no-store'] })) {
    if (!wanted.has(way)) continue
    await emptyRegistry()
    keep(way, await build(['--locked', ...flags], apart))
    await rm(apart, { recursive: true, force: true })
  }
}

/** A peer's builds: cold, and what it can do sooner when it has built before. */
async function peerRound(name: string, peer: Peer): Promise<void> {
  const context = peerContext()
  await mkdir(context.scratch, { recursive: true })
  await writeProject(context.project, requirements)
  const running = await peer.start(context)
  const build = async (way: string, names = requirements): Promise<void> =>
    keep(name + way, await counted(() => running.build(names)))
  try {
    await build('')
    if (peer.keeps && wanted.has('again')) await build(' again')
    if (peer.keeps && wanted.has('code')) {
      await writeFile(path.join(context.project, 'helper.py'), `VALUE = ${Math.random()}\n`)
      await build(' code')
    }
    if (peer.keeps && wanted.has('requirement')) await build(' requirement', changedRequirements())
  } finally {
    await running.close()
    await rm(context.scratch, { recursive: true, force: true })
  }
}

function changedRequirements(): string[] {
  return [...requirements.filter((name) => name !== 'pillow'), 'networkx']
}

/** Adds what index and registry were asked for meanwhile. */
async function counted(work: () => Promise<Cost>): Promise<Cost> {
  const [served, requests, used] = [await index.served(), await registry.requests(), await registry.used()]
  const cost = await work()
  const after = await index.served()
  return {
    ...cost,
    indexMegabytes: after.megabytes - served.megabytes,
    indexRequests: after.requests - served.requests,
    registryRequests: (await registry.requests()) - requests,
    indexCpuSeconds: after.cpuSeconds - served.cpuSeconds,
    registryCpuSeconds: (await registry.used()) - used,
  }
}

function peerContext(): PeerContext {
  const scratch = path.join(folder, 'peer')
  return {
    scratch,
    project: path.join(scratch, 'project'),
    registry: registry.host,
    index: index.url,
    uv: options.uv,
    crane: options.crane,
    buildkitd: options.buildkitd,
    buildctl: options.buildctl,
    rootlesskit: options.rootlesskit,
    rootlessUser: options['rootless-user'],
    hasTool,
  }
}

async function emptyRegistry(): Promise<void> {
  await registry.close()
  // Gigabytes that the build before has left in memory to be written would slow down this one, and so would wheels that it has
  // pushed out of memory: the network that an index here stands for is as fast for every builder.
  await run('sync', [])
  await run('sh', ['-c', 'find "$@" -name "*.whl" -exec cat {} + > /dev/null', 'sh', ...wheelFolders])
  registry = await startRegistry(folder, options.registry)
  await run(options.node, [program, 'copy', '--quiet', base, `docker://${registry.host}/base/python:3.11`])
}

async function writeProject(target: string, names: readonly string[]): Promise<void> {
  await mkdir(path.join(target, 'code'), { recursive: true })
  const lines = [
    'build:',
    `  base_image: "docker://${registry.host}/base/python:3.11"`,
    // Without GPU torch would come from its own index of CPU builds; the CUDA wheels are what is measured.
    `  python_index: { url: "${index.url}", packages: { torch: "${index.url}" } }`,
    '  python_version: "3.11"',
    `  python_packages: ${JSON.stringify(names)}`,
    'run: "run.py:Runner"',
  ]
  await writeFile(path.join(target, 'cog.yaml'), `${lines.join('\n')}\n`)
  await copyFile('examples/hello/run.py', path.join(target, 'run.py'))
  for (let n = 0; n < 200; n++) await writeFile(path.join(target, 'code', `part${n}.py`), `# ${'x'.repeat(n * 10)}\n`)
}

function keep(name: string, cost: Cost): void {
  ;(costs[name] ??= []).push({ ...cost, registryMegabytes: registry.megabytes() })
  process.stderr.write(`${name}: ${JSON.stringify(round(cost))}\n`)
}
