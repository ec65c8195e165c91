/**
 * How long does a cold resolution take, beside uv?
 *
 * Every run asks the real package index with an empty cache; the tools take turns, so that both meet the same network
 * and the same load; medians. Our time is taken inside the process after its modules are loaded, since Node's start
 * is no part of the question; it is printed as well. Prints JSON.
 *
 * Needs a built `dist/` and uv on PATH: `node bench/resolve.ts [--runs 3] [--only torch,vllm]` with Node 22.18 or newer;
 * with Node 20 after `npx rolldown bench/resolve.ts -p node -o out/bench-resolve.mjs`.
 */
import { execFile } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'

const run = promisify(execFile)
const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' }, only: { type: 'string' } } })

const SETS: Readonly<Record<string, readonly string[]>> = {
  torch: ['torch', 'transformers', 'diffusers', 'accelerate'],
  vllm: ['vllm==0.10.2'],
  sklearn: ['scikit-learn', 'pandas', 'matplotlib'],
}

interface Ours {
  readonly wallMs: number
  readonly startMs: number
  readonly requests: number
  readonly packages: number
  readonly maxRssMb: number
  readonly cpuMs: number
  /** The same answer read from a lock file of it, and what was asked for that. */
  readonly fromLockMs: number
  readonly fromLockRequests: number
}

const CHILD = `
const start = performance.now()
const root = process.argv[1]
const [{ makeHttp }, { resolvePython }, { parseRequirement }, { parseTargetPlatform }, defaults, { formatPylock }, { applyLockFile }] = await Promise.all([
  import(root + '/dist/src/core/http.js'), import(root + '/dist/src/python/resolve-python.js'),
  import(root + '/dist/src/python/requirement.js'), import(root + '/dist/src/python/target.js'),
  import('node:fs/promises').then(async (fs) => JSON.parse(await fs.readFile(root + '/src/core/defaults.json', 'utf8'))),
  import(root + '/dist/src/python/formats/pylock.js'), import(root + '/dist/src/python/formats/lock-file.js'),
])
const door = makeHttp()
let requests = 0
const http = (request) => { requests++; return door(request) }
const begin = performance.now()
const lock = await resolvePython({
  target: { pythonVersion: '3.11', ...parseTargetPlatform('x86_64-manylinux_2_28') },
  requirements: process.argv.slice(2).map((text) => ({ requirement: parseRequirement(text) })),
  indexes: { indexes: [{ url: defaults.pythonIndex }], strategy: 'first-index', pins: {} },
}, { http })
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
const wallMs = performance.now() - begin
const file = { path: '/lock/pylock.toml', text: formatPylock(lock) }
let fromLockRequests = 0
const again = performance.now()
await applyLockFile(file, { target: lock.target }, {
  http: (request) => { fromLockRequests++; return door(request) }, headers: async () => ({}) })
const fromLockMs = performance.now() - again
console.log(JSON.stringify({ wallMs, fromLockMs, fromLockRequests, startMs: begin - start, requests,
  packages: lock.packages.length, maxRssMb: maxRSS / 1024, cpuMs: (userCPUTime + systemCPUTime) / 1000 }))
process.exit(0)
`

const root = process.cwd()
const sets = Object.entries(SETS).filter(([name]) => values.only?.split(',').includes(name) ?? true)
const results = []
for (const [name, requirements] of sets) {
  const ours: Ours[] = []
  const uvMs: number[] = []
  for (let i = 0; i < Number(values.runs); i++) {
    uvMs.push(await timeUv(requirements))
    ours.push(await timeOurs(requirements))
  }
  const median = (pick: (each: Ours) => number): number => middle(ours.map(pick))
  results.push({
    set: name,
    packages: ours[0]?.packages,
    uvMs: middle(uvMs),
    oursMs: median(({ wallMs }) => wallMs),
    ratio: Number((median(({ wallMs }) => wallMs) / middle(uvMs)).toFixed(2)),
    cpuMs: median(({ cpuMs }) => cpuMs),
    moduleLoadMs: median(({ startMs }) => startMs),
    requests: median(({ requests }) => requests),
    metadataRequestsPerWheel: Number(
      ((median(({ requests }) => requests) - (ours[0]?.packages ?? 0)) / (ours[0]?.packages ?? 1)).toFixed(2),
    ),
    maxRssMb: median(({ maxRssMb }) => maxRssMb),
    fromLockMs: median(({ fromLockMs }) => fromLockMs),
    fromLockRequests: median(({ fromLockRequests }) => fromLockRequests),
  })
}
const uvVersion = (await run('uv', ['--version'])).stdout.trim()
const machine = `${cpus().length} x ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`
console.log(
  JSON.stringify(
    { question: 'cold resolution', runs: Number(values.runs), uv: uvVersion, machine, results },
    undefined,
    2,
  ),
)

async function timeUv(requirements: readonly string[]): Promise<number> {
  const begin = performance.now()
  const target = ['--python-version', '3.11', '--python-platform', 'x86_64-manylinux_2_28']
  const options = ['--no-build', '--no-cache', '--no-config', '--no-python-downloads', '--quiet', '--no-header']
  const child = run('uv', ['pip', 'compile', '-', ...target, ...options], { maxBuffer: 64 << 20 })
  child.child.stdin?.end(requirements.join('\n'))
  await child
  return performance.now() - begin
}

async function timeOurs(requirements: readonly string[]): Promise<Ours> {
  const args = ['--input-type=module', '-e', CHILD, path.resolve(root), ...requirements]
  return JSON.parse((await run(process.execPath, args)).stdout) as Ours
}

function middle(numbers: readonly number[]): number {
  return Math.round([...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN)
}
