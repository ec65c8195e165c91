/**
 * How long does a job wait for another worker after its own was killed?
 *
 * Three workers on one Redis stream. `idle`: one long job and nothing else, its worker killed with SIGKILL. `chaos`: 200
 * short jobs, and a random worker killed and started anew every half second until all have ended. Measured from the kill
 * to the job's next start, by the clock of the Redis server, or to the next kill that found it in another worker's hand.
 * Prints JSON: p50, p99 and the longest, in seconds. The goal is a p99 of 5 s.
 *
 * Needs redis-server and Python 3: `node bench/queue.ts [--runs 20] [--jobs 200]`.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { createClient } from '@redis/client'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const STREAM = 'jobs'
const PREDICT = `import time

from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self, seconds: float) -> str:
        time.sleep(seconds)
        return "done"
`
const { values } = parseArgs({
  options: { runs: { type: 'string', default: '20' }, jobs: { type: 'string', default: '200' } },
})

const folder = await mkdtemp(path.join(tmpdir(), 'bench-queue-'))
const venv = await environment()
const site = path.join(venv, 'lib', (await readdir(path.join(venv, 'lib')))[0] ?? '', 'site-packages')
await writeFile(path.join(folder, 'predict.py'), PREDICT)
const port = await freePort()
const redis = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''], {
  stdio: 'ignore',
})
const client = createClient({ url: `redis://127.0.0.1:${port}/0` })
client.on('error', () => {}) // until the server listens
await client.connect()

let started = 0
class Worker {
  readonly consumer = `worker-${++started}`
  readonly #process: ChildProcess

  constructor() {
    this.#process = spawn(`${venv}/bin/python`, ['-I', '-S', path.join(root, 'python/launch.py')], {
      cwd: folder,
      env: {
        ...process.env,
        LAYERWRIGHT_SITE: site,
        LAYERWRIGHT_PYTHON: `${venv}/bin/python`,
        LAYERWRIGHT_QUEUE: `redis://127.0.0.1:${port}/0`,
        LAYERWRIGHT_QUEUE_NAME: STREAM,
        LAYERWRIGHT_CONSUMER: this.consumer,
        LAYERWRIGHT_HTTP: '0',
        COG_PREDICT_TYPE_STUB: 'predict.py:Predictor',
      },
      stdio: 'ignore',
    })
  }

  /** Kills it. @returns when, in milliseconds of the Redis server, and the jobs that it had in hand */
  async kill(): Promise<{ readonly atMs: number; readonly jobs: readonly string[] }> {
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await ended
    const [seconds, micros] = (await client.sendCommand(['TIME'])) as unknown as [string, string]
    const pending = await client.xPendingRange(STREAM, STREAM, '-', '+', 10, { consumer: this.consumer })
    const entries = await Promise.all(pending.map(({ id }) => client.xRange(STREAM, id, id)))
    const jobs = entries.flatMap((found) => (found ?? []).map(({ message }) => idOf(message['value'] ?? '')))
    return { atMs: Number(seconds) * 1000 + Number(micros) / 1000, jobs }
  }
}

try {
  const workers = [new Worker(), new Worker(), new Worker()]
  const idle = await measureIdle(workers)
  const chaos = await measureChaos(workers)
  await Promise.all(workers.map((worker) => worker.kill()))
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, load: loadavg()[0] }
  process.stdout.write(`${JSON.stringify({ machine, idle, chaos }, undefined, 2)}\n`)
} finally {
  await client.close()
  redis.kill()
  await rm(folder, { recursive: true })
}

/** One job at a time, killed in the middle. */
async function measureIdle(workers: Worker[]): Promise<object> {
  const waits = []
  for (let index = 0; index < Number(values.runs); index++) {
    const id = await submit(1)
    await until(async () => (await starts(id)).length > 0)
    // In the middle of the second, and not at the same moment of a heartbeat each time.
    await sleep(Math.random() * 600)
    const holder = await until(async () => {
      const [held] = await client.xPendingRange(STREAM, STREAM, '-', '+', 1)
      return workers.findIndex(({ consumer }) => consumer === held?.consumer) + 1
    })
    const { atMs } = await (workers[holder - 1] as Worker).kill()
    workers[holder - 1] = new Worker()
    waits.push(await restartOf(id, atMs))
    await until(() => hasEnded(id))
  }
  return summary(waits)
}

/** Many short jobs, and a random worker killed every half second. */
async function measureChaos(workers: Worker[]): Promise<object> {
  const ids = await Promise.all(Array.from({ length: Number(values.jobs) }, () => submit(0.1)))
  const taken: { readonly id: string; readonly atMs: number }[] = []
  let kills = 0
  while (!(await Promise.all(ids.map(hasEnded))).every(Boolean)) {
    const victim = Math.floor(Math.random() * 3)
    const { atMs, jobs } = await (workers[victim] as Worker).kill()
    workers[victim] = new Worker()
    kills++
    taken.push(...jobs.map((id) => ({ id, atMs })))
    await sleep(500)
  }
  const waits = await Promise.all(
    taken.map(async ({ id, atMs }) => {
      const again = taken.find((later) => later.id === id && later.atMs > atMs)?.atMs ?? Number.POSITIVE_INFINITY
      return Math.min(await restartOf(id, atMs), (again - atMs) / 1000)
    }),
  )
  const dead = await client.xLen(`${STREAM}:dead`)
  return { jobs: ids.length, kills, deadLetters: dead, ...summary(waits) }
}

function summary(waits: readonly number[]): object {
  const sorted = waits.toSorted((a, b) => a - b)
  const at = (share: number) => Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? 0) * 100) / 100
  return { redeliveries: sorted.length, p50Seconds: at(0.5), p99Seconds: at(0.99), maxSeconds: at(1) }
}

/** Seconds from a kill to the next start of the job, or to its end as a dead letter. */
async function restartOf(id: string, atMs: number): Promise<number> {
  const next = await until(async () => (await starts(id)).find((time) => time >= atMs))
  return (next - atMs) / 1000
}

/** When a job started or ended, in milliseconds of the Redis server. */
async function starts(id: string): Promise<readonly number[]> {
  const events = (await client.xRange(`${STREAM}:p:${id}:events`, '-', '+')) ?? []
  return events
    .filter(({ message }) => message['event'] === 'start' || message['event'] === 'completed')
    .map(({ id: entry }) => Number(entry.split('-')[0]))
}

async function submit(seconds: number): Promise<string> {
  const id = crypto.randomUUID()
  await client.xAdd(STREAM, '*', { value: JSON.stringify({ id, input: { seconds } }) })
  return id
}

async function hasEnded(id: string): Promise<boolean> {
  const status = await client.hGet(`${STREAM}:p:${id}`, 'status')
  return status === 'succeeded' || status === 'failed'
}

async function until<T>(probe: () => Promise<T | undefined>): Promise<T> {
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(20)) {
    const value = await probe()
    if (value !== undefined && value !== false && value !== 0) return value
  }
  throw new Error('Nothing happened within two minutes')
}

function idOf(value: string): string {
  return (JSON.parse(value) as { readonly id: string }).id
}

/** The launcher's packages, kept under `.cache`, as in bench/serve.ts. */
async function environment(): Promise<string> {
  const venvFolder = path.join(root, '.cache', 'bench-layerwright')
  const stamp = path.join(venvFolder, 'complete')
  const isThere = await access(stamp).then(
    () => true,
    () => false,
  )
  if (isThere) return venvFolder
  await mkdir(path.dirname(venvFolder), { recursive: true })
  await run(process.env['LAYERWRIGHT_TEST_BASE_PYTHON'] ?? 'python3', ['-m', 'venv', '--clear', venvFolder])
  await run(`${venvFolder}/bin/pip`, ['install', '--quiet', 'httptools', 'pydantic-core', 'redis', 'uvicorn'])
  await writeFile(stamp, '')
  return venvFolder
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port: free } = server.address() as AddressInfo
  server.close()
  return free
}
