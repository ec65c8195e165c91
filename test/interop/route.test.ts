import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { describeModel } from '../../src/predictor/describe.ts'
import { mustRun } from '../support/command.ts'
import { freePort } from '../support/docker-registry.ts'
import { launcherEnvironment } from '../support/runtime-environment.ts'

// The router as a process of its own before two servers as they are in images, from the source tree.

const root = fileURLToPath(new URL('../..', import.meta.url))
const PREDICTOR = `import time
from cog import BasePredictor, ConcatenateIterator, streaming


class Predictor(BasePredictor):
    @streaming
    def predict(self, text: str = "a", seconds: float = 0) -> ConcatenateIterator[str]:
        yield text
        time.sleep(seconds)
        yield "!"
`

/** For what must happen. */
const WAITING = { timeout: 300_000, interval: 100 }

let folder: string
let interpreter: string
let site: string
let router: ChildProcess | undefined
let url = ''
let log = ''
let weights = { stable: 1, canary: 1 }
type Version = keyof typeof weights
/** One for each server of a version. */
const ports: Record<Version, number[]> = { stable: [], canary: [] }
const servers: Record<Version, ChildProcess[]> = { stable: [], canary: [] }

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'route-'))
  await writeFile(path.join(folder, 'predict.py'), PREDICTOR)
  const { openapi } = await describeModel({ projectFolder: folder, run: 'predict.py:Predictor' })
  await mkdir(path.join(folder, '.cog'))
  await writeFile(path.join(folder, '.cog/openapi_schema.json'), JSON.stringify(openapi))
  interpreter = await launcherEnvironment()
  const { stdout } = await mustRun(interpreter, ['-c', 'import site; print(site.getsitepackages()[0])'])
  site = stdout.trim()
  await Promise.all([start('stable'), start('canary'), start('canary')])
  await writeRoutes()
  const bin = path.join(root, 'bin/layerwright.mjs')
  router = spawn(process.execPath, [bin, 'route', 'routes.yaml', '--port', '0'], { cwd: folder })
  router.stderr?.on('data', (chunk: Buffer) => (log += String(chunk)))
  router.stdout?.on('data', (chunk: Buffer) => (url += String(chunk).trim()))
  await vi.waitFor(() => expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/), WAITING)
})
afterAll(async () => {
  for (const child of [router, ...Object.values(servers).flat()]) child?.kill('SIGKILL')
  await rm(folder, { recursive: true })
})

async function start(version: Version, port?: number): Promise<void> {
  const own = port ?? (await freePort())
  if (port === undefined) ports[version].push(own)
  const child = spawn(interpreter, ['-I', '-S', path.join(root, 'python/launch.py'), '--host', '127.0.0.1'], {
    cwd: folder,
    env: {
      ...process.env,
      PORT: String(own),
      COG_PREDICT_TYPE_STUB: 'predict.py:Predictor',
      LAYERWRIGHT_SITE: site,
      LAYERWRIGHT_PYTHON: interpreter,
      LAYERWRIGHT_MODEL_VERSION: `sha256:${version}`,
    },
    stdio: 'ignore',
  })
  servers[version].push(child)
  await vi.waitFor(async () => {
    expect((await fetch(`http://127.0.0.1:${own}/readyz`)).status).toBe(200)
  }, WAITING)
}

/** As an editor writes it: under another name first. */
async function writeRoutes(): Promise<void> {
  const versions = Object.entries(weights).map(([name, weight]) => {
    const urls = (ports[name as Version] ?? []).map((port) => `"http://127.0.0.1:${port}"`)
    return `  ${name}: {urls: [${urls.join(', ')}], weight: ${weight}}\n`
  })
  await writeFile(path.join(folder, 'new'), `versions:\n${versions.join('')}health: {interval_seconds: 0.2}\n`)
  await rename(path.join(folder, 'new'), path.join(folder, 'routes.yaml'))
}

async function reload(next: typeof weights): Promise<void> {
  weights = next
  const readings = (): number => log.split('Read again').length
  const before = readings()
  await writeRoutes()
  router?.kill('SIGHUP')
  await expect.poll(readings).toBeGreaterThan(before)
}

function predict(input: object, headers: Readonly<Record<string, string>> = {}, id?: string): Promise<Response> {
  return fetch(`${url}/predictions${id === undefined ? '' : `/${id}`}`, {
    method: id === undefined ? 'POST' : 'PUT',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ input }),
  })
}

const said = (response: Response): string | null => response.headers.get('x-model-version')

test('a version that is named answers, and says so, with the digest that its server was told', async () => {
  const response = await predict({ text: 'hello' }, { 'x-model-version': 'canary' })
  expect(said(response)).toBe('canary')
  expect(response.headers.get('x-upstream-model-version')).toBe('sha256:canary')
  expect(await response.json()).toMatchObject({ status: 'succeeded', output: ['hello', '!'] })
})

test('events come while the model computes', async () => {
  const response = await predict({ text: 'first', seconds: 600 }, { accept: 'text/event-stream' })
  const reader = response.body?.getReader()
  let text = ''
  while (!text.includes('first')) {
    const { value, done } = (await reader?.read()) ?? { done: true }
    if (done) throw new Error(`The stream ended: ${text}`)
    text += new TextDecoder().decode(value)
  }
  // Going away reaches the server through the router, which then has room for the next test.
  await reader?.cancel()
})

test('an id stays with its version while weights change; it is looked at and canceled there', async () => {
  const begun = await predict({ seconds: 600 }, { prefer: 'respond-async', 'x-model-version': 'canary' }, 'an-id')
  expect({ status: begun.status, version: said(begun) }).toEqual({ status: 202, version: 'canary' })
  await reload({ stable: 1000, canary: 1 })
  const look = await fetch(`${url}/predictions/an-id`)
  expect({ status: look.status, version: said(look) }).toEqual({ status: 200, version: 'canary' })
  const cancel = await fetch(`${url}/predictions/an-id/cancel`, { method: 'POST' })
  expect({ status: cancel.status, version: said(cancel) }).toEqual({ status: 200, version: 'canary' })
  await expect
    .poll(async () => ((await (await fetch(`${url}/predictions/an-id`)).json()) as { status: string }).status)
    .toBe('canceled')
  // One that the server named itself is known to nobody here: the versions are asked.
  const own = await predict({}, { prefer: 'respond-async', 'x-model-version': 'canary' })
  const { id } = (await own.json()) as { id: string }
  expect(said(await fetch(`${url}/predictions/${id}`))).toBe('canary')
})

// Not tried twice: the servers are gone then.
test(
  'no request fails when the servers of a version are stopped one by one, but those that name it',
  { retry: 0 },
  async () => {
    await reload({ stable: 1, canary: 1 })
    const [first, second] = servers.canary
    await stop(first)
    expect(await statuses()).toEqual(new Set([200]))
    expect((await predict({}, { 'x-model-version': 'canary' })).status).toBe(200)
    await stop(second)
    expect(await statuses()).toEqual(new Set([200]))
    const named = await predict({}, { 'x-model-version': 'canary' })
    expect({ status: named.status, version: said(named) }).toEqual({ status: 503, version: 'canary' })
    // A check may meet the server while it ends, and is told so; one after that is refused a connection.
    await expect.poll(() => log, WAITING).toMatch(/`canary` at \S+ is left out: .+; other versions get its requests/)
    const metrics = await (await fetch(`${url}/route/metrics`)).text()
    for (const port of ports.canary)
      expect(metrics).toContain(`layerwright_route_healthy{version="canary",server="http://127.0.0.1:${port}/"} 0\n`)
  },
)

test('a server is back when its model is ready, without a request that tries it', async () => {
  const [port] = ports.canary
  await start('canary', port)
  await expect.poll(() => log, WAITING).toContain(`\`canary\` at http://127.0.0.1:${port}/ gets requests again`)
  const named = await predict({}, { 'x-model-version': 'canary' })
  expect({ status: named.status, version: said(named) }).toEqual({ status: 200, version: 'canary' })
})

async function stop(server: ChildProcess | undefined): Promise<void> {
  server?.kill('SIGTERM')
  if (server?.exitCode === null) await once(server, 'exit')
}

async function statuses(): Promise<ReadonlySet<number>> {
  return new Set(await Promise.all(Array.from({ length: 40 }, async () => (await predict({})).status)))
}

// Not tried twice: there is no router then.
test('SIGTERM lets a prediction end', { retry: 0 }, async () => {
  const running = predict({ text: 'last', seconds: 5 }, { 'x-model-version': 'stable' })
  await expect
    .poll(async () => await (await fetch(`${url}/route/metrics`)).text())
    .toMatch(/layerwright_route_in_flight\{version="stable",server="[^"]+"\} 1\n/)
  if (router === undefined) throw new Error('There is no router')
  const exit = once(router, 'exit')
  router.kill('SIGTERM')
  expect(await (await running).json()).toMatchObject({ output: ['last', '!'] })
  expect((await exit)[0]).toBe(0)
})
