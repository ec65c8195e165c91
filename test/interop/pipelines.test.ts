import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasCommand, mustRun, runCommand } from '../support/command.ts'
import { drawShapes, readPng, type Shape } from '../support/png.ts'
import { freePort, RedisServers } from '../support/redis-servers.ts'

/*
 * examples/pipeline, built, run by whatever runs containers here, and asked as its users would: over HTTP, over a queue and
 * from the command line.
 */

const root = join(import.meta.dirname, '..', '..')
const env = { LAYERWRIGHT_CACHE: join(root, '.cache', 'interop-store') }
const program = join(root, 'bin', 'layerwright.mjs')
const hasRedis = await hasCommand('redis-server')

const SHAPES: readonly Shape[] = [
  { left: 5, top: 5, right: 25, bottom: 20, colour: [220, 40, 40] },
  { left: 40, top: 20, right: 55, bottom: 35, colour: [40, 70, 220] },
  { left: 10, top: 40, right: 30, bottom: 50, colour: [40, 180, 60] },
]
const BOXES = SHAPES.map(({ colour: _, ...box }) => box)
const picture = drawShapes(80, 60, SHAPES)
const image = `data:image/png;base64,${picture.toString('base64')}`

let folder: string
let layout: string
let redis: RedisServers
let queueUrl: string
let server: ChildProcess
let url: string
/** What the server and its models print. */
let printed = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pipelines-'))
  await mkdir(env.LAYERWRIGHT_CACHE, { recursive: true })
  layout = `oci:${join(folder, 'image')}`
  await mustRun(process.execPath, [program, 'build', 'examples/pipeline', '-o', layout], { cwd: root, env })
  redis = new RedisServers(folder)
  if (hasRedis) {
    const port = await freePort()
    await redis.start({ port, save: '""' })
    queueUrl = `redis://127.0.0.1:${port}`
  }
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const queue = hasRedis ? ['-e', `LAYERWRIGHT_QUEUE=${queueUrl}`] : []
  server = spawn(process.execPath, [program, 'serve', layout, '-p', String(port), ...queue], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  server.stderr?.on('data', (text: Buffer) => (printed += text.toString()))
  await ready()
})
afterAll(async () => {
  if (server.exitCode === null && server.signalCode === null) {
    server.kill('SIGINT')
    await once(server, 'exit')
  }
  await redis.close()
  await rm(folder, { recursive: true, force: true })
})

async function ready(): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`The server has ended: ${printed}`)
    // Nobody listens yet.
    const answer = await fetch(`${url}/health-check`).catch(() => undefined)
    const { status } = ((await answer?.json()) ?? {}) as { readonly status?: string }
    if (status === 'READY') return
    if (status === 'SETUP_FAILED') throw new Error(printed)
    await sleep(200)
  }
}

interface Answer {
  readonly status: number
  readonly body: {
    readonly status?: string
    readonly output?: unknown
    readonly error?: string
    readonly logs?: string
    readonly detail?: unknown
    readonly models?: readonly unknown[]
    readonly metrics?: { readonly steps?: Readonly<Record<string, Readonly<Record<string, unknown>>>> }
  }
}

async function ask(path: string, body?: unknown, method = body === undefined ? 'GET' : 'POST'): Promise<Answer> {
  const answer = await fetch(`${url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  })
  return { status: answer.status, body: (await answer.json()) as Answer['body'] }
}

describe('the default, a pipeline', () => {
  test('runs its steps: in order, for each item, at the same time', async () => {
    const { body } = await ask('/predictions', { input: { image, picture: true, language: 'de' } })
    expect(body).toMatchObject({
      status: 'succeeded',
      output: { boxes: BOXES, labels: ['red', 'blue', 'green'], text: '1 red, 1 blue und 1 green' },
    })
    const { picture: framed } = body.output as { readonly picture: string }
    expect(readPng(Buffer.from(framed.slice(framed.indexOf(',') + 1), 'base64'))).toEqual({ width: 80, height: 60 })
    expect(Object.keys(body.metrics?.steps ?? {}).toSorted()).toEqual(['describe', 'detect', 'draw', 'label'])
    expect(body.metrics?.steps).toMatchObject({ label: { count: 3, predict_time: expect.any(Number) as number } })
    expect(body.logs).toContain('[detect] 3 shapes')
    expect(body.logs).toContain('[label] the shape at 5, 5 is red')
  })

  test('skips a step that is not wanted', async () => {
    const { body } = await ask('/predictions', { input: { image } })
    expect(body).toMatchObject({ status: 'succeeded', output: { picture: null, text: '1 red, 1 blue and 1 green' } })
    expect(body.metrics?.steps?.['draw']).toMatchObject({ skipped: true })
  })

  test('does without an optional step that fails', async () => {
    const { body } = await ask('/predictions', { input: { image, language: 'tlh' } })
    expect(body).toMatchObject({ status: 'succeeded', output: { text: null, labels: ['red', 'blue', 'green'] } })
    expect(body.metrics?.steps?.['describe']?.['error']).toContain('tlh')
  })

  test('says which step has failed', async () => {
    const nothing = `data:image/png;base64,${Buffer.from('no picture').toString('base64')}`
    const { body } = await ask('/predictions', { input: { image: nothing } })
    expect(body.status).toBe('failed')
    expect(body.error).toMatch(/^Step detect \(model detect\): .*cannot identify image/)
  })

  test('checks its inputs as those of the models that they flow into', async () => {
    const { status, body } = await ask('/predictions', { input: { language: 'fr', min_area: 0 } })
    expect(status).toBe(422)
    const text = JSON.stringify(body.detail)
    for (const name of ['image', 'language', 'min_area']) expect(text).toContain(name)
  })
})

describe('the models and the other pipelines', () => {
  test('are listed', async () => {
    const { body } = await ask('/models')
    const kinds = {
      detect: 'model',
      classify: 'model',
      draw: 'model',
      describe: 'model',
      main: 'pipeline',
      first: 'pipeline',
    }
    expect(body.models).toHaveLength(6)
    for (const [modelName, kind] of Object.entries(kinds))
      expect(body.models).toContainEqual(
        expect.objectContaining({ modelName, kind, modelUrl: expect.any(String) as string }),
      )
  })

  test('answer under their names', async () => {
    const detected = await ask('/models/detect/predictions', { input: { image } })
    expect(detected.body).toMatchObject({ status: 'succeeded', output: { boxes: BOXES, width: 80, height: 60 } })
    const [box] = BOXES
    const named = await ask('/models/classify/predictions', { input: { image, box } })
    expect(named.body).toMatchObject({ status: 'succeeded', output: 'red' })
    const first = await ask('/models/first/predictions', { input: { image } })
    expect(first.body).toMatchObject({ status: 'succeeded', output: 'red' })
    const put = await ask('/models/describe/predictions/mine', { input: { labels: ['a', 'a'] } }, 'PUT')
    expect(put.body).toMatchObject({ id: 'mine', status: 'succeeded', output: '2 a' })
  })

  test('answer the protocols of platforms', async () => {
    const invoked = await ask('/models/describe/invoke', { input: { labels: ['a', 'b'] } })
    expect(invoked).toMatchObject({ status: 200 })
    expect(JSON.stringify(invoked.body)).toContain('1 a and 1 b')
    expect((await ask('/v2/models/classify')).body).toMatchObject({ name: 'classify' })
    expect((await fetch(`${url}/v2/models/main/ready`)).status).toBe(200)
  })

  test('have documents that the routes keep to', async () => {
    const all = (await ask('/openapi.json')).body as unknown as OpenApi
    const own = (await ask('/models/detect/openapi.json')).body as unknown as OpenApi
    expect(own.components.schemas['Input']).toEqual(all.components.schemas['detect.Input'])
    for (const path of Object.keys(all.paths).filter((one) => /^\/models\/[^/]+$/.test(one)))
      expect((await ask(path)).status, path).toBe(200)
    const refused = await ask('/models/classify/predictions', { input: { image } })
    expect(refused.status).toBe(422)
  })

  test('are named where one is asked for that is not there', async () => {
    const { status, body } = await ask('/models/nobody/predictions', { input: {} })
    expect(status).toBe(404)
    for (const name of ['detect', 'first']) expect(JSON.stringify(body)).toContain(name)
  })

  test.skipIf(!hasRedis)('are asked for by jobs of a queue', async () => {
    const submit = (args: readonly string[]) =>
      runCommand(process.execPath, [program, 'queue', 'submit', '--url', queueUrl, '--wait', ...args], {
        cwd: folder,
        env,
      })
    const named = await submit(['--model', 'describe', '-i', 'labels=["x", "x"]'])
    expect(JSON.parse(named.stdout)).toMatchObject({ status: 'succeeded', output: '2 x' })
    await writeFile(join(folder, 'input.json'), JSON.stringify({ image }))
    const unnamed = await submit(['--json', 'input.json'])
    expect(JSON.parse(unnamed.stdout)).toMatchObject({
      status: 'succeeded',
      output: { labels: ['red', 'blue', 'green'] },
    })
    const lost = await submit(['--model', 'nobody'])
    expect(lost.status).toBe(1)
    expect(lost.stdout).toContain('nobody')
  })
})

interface OpenApi {
  readonly paths: Readonly<Record<string, unknown>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

describe('the command line', () => {
  test('predict --model asks one of them', async () => {
    await writeFile(join(folder, 'shapes.png'), picture)
    const { stdout } = await mustRun(
      process.execPath,
      [program, 'predict', layout, '--model', 'detect', '-i', 'image=@shapes.png', '--json'],
      { cwd: folder, env },
    )
    expect(JSON.parse(stdout)).toMatchObject({ output: { boxes: BOXES } })
  })

  test('predict --model names them where there is no such', async () => {
    const { status, stderr } = await runCommand(process.execPath, [program, 'predict', layout, '--model', 'detekt'], {
      cwd: folder,
      env,
    })
    expect(status).not.toBe(0)
    expect(stderr).toContain('There are: detect, classify, draw, describe, main, first. Did you mean `detect`?')
  })

  test('inspect and serve say what is served', async () => {
    const { stdout } = await mustRun(process.execPath, [program, 'inspect', layout], { cwd: folder, env })
    const said = 'main at /predictions; models detect, classify, draw, describe; pipelines main, first'
    expect(stdout).toContain(`serves      ${said}`)
    expect(printed).toContain(said)
  })
})
