/**
 * How fast does the server in the image answer, start and stay out of memory, beside Cog, FastAPI and BentoML?
 *
 * One hello model behind each server; the server pinned to core 0, the client (wrk) to core 1; three runs, each with a
 * fresh server; medians. Only answers with status 200 count. Prints JSON.
 *
 * As root both run under SCHED_RR, so that what else the machine does costs neither of them its turn.
 *
 * Needs wrk, taskset and Python 3.12: `node bench/serve.ts [--only layerwright,cog] [--seconds 3] [--requests 100000]`.
 * The sequential client sends its requests once, after the last run; `--peer-requests 20000` are those of the others.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { freePort } from '../test/support/docker-registry.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const here = path.join(root, 'bench/serve')
const python = process.env['LAYERWRIGHT_TEST_BASE_PYTHON'] ?? 'python3'

interface Server {
  readonly packages: readonly string[]
  start(venv: string, port: number): readonly [command: readonly string[], env: Record<string, string>]
}

const SERVERS: Record<string, Server> = {
  layerwright: {
    packages: ['httptools', 'pydantic-core', 'redis', 'uvicorn'],
    start: (venv, port) => [
      [`${venv}/bin/python`, '-I', '-S', path.join(root, 'python/launch.py'), '--host', '127.0.0.1'],
      { PORT: `${port}`, COG_PREDICT_TYPE_STUB: 'predict.py:Predictor', LAYERWRIGHT_PYTHON: `${venv}/bin/python` },
    ],
  },
  cog: {
    packages: ['cog==0.23.1', 'coglet==0.23.1'],
    start: (venv, port) => [
      [`${venv}/bin/python`, '-m', 'cog.server.http', '--host', '127.0.0.1'],
      {
        PORT: `${port}`,
        COG_PREDICT_TYPE_STUB: 'predict.py:Predictor',
        PATH: `${venv}/bin:${process.env['PATH'] ?? ''}`,
      },
    ],
  },
  fastapi: {
    packages: ['fastapi', 'uvicorn[standard]'],
    start: (venv, port) => [
      [`${venv}/bin/uvicorn`, '--app-dir', here, '--port', `${port}`, '--no-access-log', 'fastapi_app:app'],
      {},
    ],
  },
  bentoml: {
    packages: ['bentoml'],
    start: (venv, port) => [
      [`${venv}/bin/bentoml`, 'serve', 'bento_service:Hello', '--working-dir', here, '--port', `${port}`],
      { BENTOML_DO_NOT_TRACK: 'true', PATH: `${venv}/bin:${process.env['PATH'] ?? ''}` },
    ],
  },
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(SERVERS).join(',') },
    seconds: { type: 'string', default: '3' },
    runs: { type: 'string', default: '3' },
    requests: { type: 'string', default: '10000' },
    // The slow ones take minutes for as many.
    'peer-requests': { type: 'string' },
  },
})

const REAL_TIME = process.getuid?.() === 0 ? ['chrt', '-r', '10'] : []
const results: Record<string, unknown> = {}
for (const name of values.only.split(',')) {
  const server = SERVERS[name]
  if (server === undefined) throw new RangeError(`No such server: ${name}`)
  const venv = await environment(name, server.packages)
  const runs = []
  const count = name === 'layerwright' ? values.requests : (values['peer-requests'] ?? values.requests)
  for (let index = 1; index <= Number(values.runs); index++) {
    runs.push(await measure(server, venv, index === Number(values.runs) ? count : undefined))
  }
  results[name] = { ...medians(runs), ...runs.at(-1)?.sequential }
  process.stderr.write(`${name}: ${JSON.stringify(results[name])}\n`)
}
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
process.stdout.write(`${JSON.stringify({ machine, seconds: Number(values.seconds), results }, undefined, 2)}\n`)

interface Measured {
  readonly numbers: Record<string, number>
  readonly sequential?: { sequentialRequests: number; sequentialRefused: number; sequentialSeconds: number }
}

/** Starts a server, asks it, ends it; with a count also by a client that waits for each answer. */
async function measure(server: Server, venv: string, count: string | undefined): Promise<Measured> {
  const port = await freePort()
  const [command, env] = server.start(venv, port)
  const began = performance.now()
  const site = path.join(venv, 'lib', (await readdir(path.join(venv, 'lib')))[0] ?? '', 'site-packages')
  const [first = '', ...rest] = pinned(0, command)
  const child = spawn(first, rest, {
    cwd: path.join(here, 'project'),
    env: { ...process.env, LAYERWRIGHT_SITE: site, LOG_FORMAT: 'console', ...env },
    stdio: 'ignore',
    detached: true,
  })
  try {
    await ready(port, child)
    const numbers: Record<string, number> = { startMs: performance.now() - began, rssMb: await memory(child) }
    for (const connections of [1, 8, 32]) {
      const { good, p50, p99, refused } = await wrk(port, connections)
      numbers[`goodPerSecond${connections}`] = good
      numbers[`p50Ms${connections}`] = p50
      numbers[`p99Ms${connections}`] = p99
      numbers[`refusedPercent${connections}`] = refused
    }
    if (count === undefined) return { numbers }
    const since = performance.now()
    const stdout = await runPinned([python, path.join(here, 'sequential.py'), `${port}`, count])
    const seconds = Math.round((performance.now() - since) / 100) / 10
    const sequential = {
      sequentialRequests: Number(count),
      sequentialRefused: Number(stdout),
      sequentialSeconds: seconds,
    }
    return { numbers, sequential }
  } finally {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM')
    const hard = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(undefined)))
    clearTimeout(hard)
  }
}

async function wrk(port: number, connections: number) {
  const url = `http://127.0.0.1:${port}/predictions`
  const load = [
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${values.seconds}s`,
    '--latency',
    '-s',
    path.join(here, 'post.lua'),
    url,
  ]
  const stdout = await runPinned(load)
  const total = Number(/(\d+) requests in/.exec(stdout)?.[1])
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0)
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
  return {
    good: (rate * (total - bad)) / total,
    refused: (100 * bad) / total,
    p50: milliseconds(/^ +50%\s+(\S+)/m.exec(stdout)?.[1]),
    p99: milliseconds(/^ +99%\s+(\S+)/m.exec(stdout)?.[1]),
  }
}

function pinned(core: number, command: readonly string[]): readonly string[] {
  return [...REAL_TIME, 'taskset', '-c', `${core}`, ...command]
}

async function runPinned(command: readonly string[]): Promise<string> {
  const [first = '', ...rest] = pinned(1, command)
  return (await run(first, rest)).stdout
}

function milliseconds(text = 'NaN'): number {
  const unit = text.endsWith('us') ? 0.001 : text.endsWith('ms') ? 1 : 1000
  return Number.parseFloat(text) * unit
}

/** Resident memory of a process and all below it, in MB. */
async function memory(child: ChildProcess): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 500))
  let total = 0
  const waiting = [child.pid]
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    total += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
    for (const task of await readdir(`/proc/${pid}/task`).catch(() => [])) {
      const children = await readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => '')
      waiting.push(...children.split(' ').filter(Boolean).map(Number))
    }
  }
  return total
}

async function ready(port: number, child: ChildProcess): Promise<void> {
  const body = '{"input":{"text":"a"}}'
  const headers = { 'content-type': 'application/json' }
  for (let tries = 0; tries < 12_000; tries++) {
    if (child.exitCode !== null) throw new Error(`The server exited with ${child.exitCode}`)
    const answer = await fetch(`http://127.0.0.1:${port}/predictions`, { method: 'POST', body, headers }).catch(
      () => undefined,
    )
    await answer?.arrayBuffer()
    if (answer?.status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error('The server did not answer within a minute')
}

async function environment(name: string, packages: readonly string[]): Promise<string> {
  const folder = path.join(root, '.cache', `bench-${name}`)
  const stamp = path.join(folder, 'complete')
  const isComplete = await access(stamp).then(
    () => true,
    () => false,
  )
  if (!isComplete) {
    await mkdir(path.dirname(folder), { recursive: true })
    await run(python, ['-m', 'venv', '--clear', folder])
    await run(`${folder}/bin/python`, ['-m', 'pip', 'install', '--quiet', ...packages], { maxBuffer: 1 << 26 })
    await writeFile(stamp, '')
  }
  return folder
}

function medians(measured: readonly Measured[]): Record<string, number> {
  const runs = measured.map(({ numbers }) => numbers)
  const [first = {}] = runs
  return Object.fromEntries(
    Object.keys(first).map((key) => {
      const sorted = runs.map((one) => one[key] ?? Number.NaN).toSorted((a, b) => a - b)
      return [key, Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 1000) / 1000]
    }),
  )
}
