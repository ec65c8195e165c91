import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:https'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readTar } from '../../layers/tar.ts'
import { build, type BuildRequest, type BuildResult } from '../../src/build.ts'
import { obtainLock } from '../../src/build/obtain-lock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { makeHttp } from '../../src/core/http.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { memoryDestination, memoryImages } from '../../src/destinations/memory.ts'
import { isImageIndex, type Image } from '../../src/image/image.ts'
import type { Lock } from '../../src/lock/lock.ts'
import { parseLock } from '../../src/lock/parse-lock.ts'
import { partialBytes } from '../../src/store/partial.ts'
import { makeBuildWorld, type BuildWorld } from '../support/build-world.ts'
import { commitOf, startHub, type Hub } from '../support/hub.ts'
import { gunzipSync } from 'node:zlib'

const config = Buffer.from('{"model_type":"tiny"}')
const model = randomBytes(70_000)
const tokenizer = Buffer.from('abc '.repeat(5000))
const repositories = {
  'org/tiny': {
    main: { 'README.md': Buffer.from('# Tiny'), 'config.json': config, 'model.safetensors': model },
    v2: { 'config.json': config, 'model.safetensors': model, 'sub/tokenizer.json': tokenizer },
  },
}
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

let folder: string
let world: BuildWorld
let hub: Hub
let env: Record<string, string | undefined>
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weights-'))
  world = await makeBuildWorld(folder)
  hub = await startHub({ repositories, token: 'hf_secret' })
  env = { HF_ENDPOINT: hub.url, HF_TOKEN: 'hf_secret', HOME: folder }
})
afterEach(async () => {
  await Promise.all([world.close(), hub.close()])
  await rm(folder, { recursive: true, force: true })
})

/** A cog.yaml with weights, written as YAML flow. */
const yaml = (weights: string): string =>
  `build:\n  base_image: "docker://base.example/x:1"\n  python_index: { url: "${world.index.url}" }\nrun: "run.py:Runner"\nweights:\n${weights}`
const entry = (source: string, name = 'tiny', target = '/src/weights'): string =>
  `  - { name: ${name}, target: ${target}, source: ${source} }\n`

async function run(path: string, request: Partial<BuildRequest> = {}): Promise<BuildResult> {
  const whole: BuildRequest = { project: path, mode: 'auto', format: 'oci', ...request }
  return build(whole, async ({ imageName }) => [{ destination: memoryDestination(memoryImages(), imageName) }], {
    ...world.context,
    env,
  })
}

async function lockOf(path: string): Promise<Lock> {
  const { config: loaded, projectFolder } = await loadConfig(path)
  const { context } = world
  const cache = (space: string): ReturnType<typeof context.store.cache> => context.store.cache(space)
  const { lock } = await obtainLock(loaded, { ...context, env, cache, projectFolder }, { mode: 'refresh' })
  return lock
}

/** Path -> content of every regular file of the layers that hold weights. */
async function filesOf(result: BuildResult): Promise<Record<string, Buffer>> {
  const files: Record<string, Buffer> = {}
  for (const layer of imageOf(result).layers.filter(({ createdBy }) => createdBy.startsWith('weights'))) {
    const chunks: Uint8Array[] = []
    for await (const chunk of layer.open()) chunks.push(chunk)
    const tar = gunzipSync(Buffer.concat(chunks))
    for await (const member of readTar(
      (async function* () {
        yield tar
      })(),
      'the layer',
    )) {
      const parts: Uint8Array[] = []
      for await (const part of member.data) parts.push(part)
      if (member.type === 'file') files[member.name] = Buffer.concat(parts)
    }
  }
  return files
}

function imageOf({ image }: BuildResult): Image {
  if (isImageIndex(image)) throw new Error('An index, not an image')
  return image
}

describe('hf://', () => {
  test('a repository is laid at its target, by commit and content', async () => {
    const path = await world.project(yaml(entry('{ uri: "hf://org/tiny", exclude: ["*.md"] }')))
    const files = await filesOf(await run(path))
    expect(Object.keys(files).sort()).toEqual(['src/weights/config.json', 'src/weights/model.safetensors'])
    expect(files['src/weights/model.safetensors']?.equals(model)).toBe(true)
    const { weights } = await lockOf(path)
    expect(weights?.[0]).toMatchObject({
      name: 'tiny',
      target: '/src/weights',
      digest: `sha256:${createHash('sha256')
        .update(`${sha256(config)}  config.json\n${sha256(model)}  model.safetensors`.split('\n').sort().join('\n'))
        .digest('hex')}`,
      sources: [{ uri: 'hf://org/tiny', revision: commitOf('main') }],
      files: [
        { path: 'config.json', sha256: sha256(config), sizeBytes: config.length },
        {
          path: 'model.safetensors',
          url: `${hub.url}/org/tiny/resolve/${commitOf('main')}/model.safetensors`,
          sha256: sha256(model),
        },
      ],
    })
  })

  test('a new version fetches and makes what changed, and the label says what is in the image', async () => {
    const path = await world.project(yaml(entry('{ uri: "hf://org/tiny@main", include: ["*.safetensors"] }')))
    const before = imageOf(await run(path))
    hub.requests.length = 0
    await writeFile(join(path, 'cog.yaml'), yaml(entry('{ uri: "hf://org/tiny@v2", include: ["*.safetensors"] }')))
    const after = imageOf(await run(path))
    const weightLayer = (image: Image): string | undefined =>
      image.layers.find(({ createdBy }) => createdBy.startsWith('weights'))?.descriptor.digest
    expect(weightLayer(after)).toBe(weightLayer(before))
    expect(hub.requests.filter((request) => request.includes('.safetensors'))).toEqual([])
    expect(JSON.parse(after.config.config?.Labels?.['run.layerwright.weights'] ?? '')).toEqual([
      { name: 'tiny', target: '/src/weights', digest: expect.stringMatching(/^sha256:/) as string },
    ])
  })

  test('the token reaches the hub and nobody else, and no lock, plan or event', async () => {
    const path = await world.project(yaml(entry('{ uri: "hf://org/tiny" }')))
    const result = await run(path)
    const { headers: _, ...planned } = result.planned
    expect(JSON.stringify([planned, world.events])).not.toContain('hf_secret')
    env = { HF_ENDPOINT: hub.url, HOME: folder }
    await expect(run(path, { mode: 'refresh' })).rejects.toMatchObject({
      code: 'WEIGHTS_DENIED',
      hint: expect.stringContaining('HF_TOKEN') as string,
    })
    await mkdir(join(folder, '.cache/huggingface'), { recursive: true })
    await writeFile(join(folder, '.cache/huggingface/token'), 'hf_secret\n')
    await run(path, { mode: 'refresh' })
  })

  test('build with a lock file asks the hub for nothing but bytes', async () => {
    const path = await world.project(yaml(entry('{ uri: "hf://org/tiny" }')))
    const text = JSON.stringify(await lockOf(path))
    expect(parseLock(text, 'the lock').weights).toHaveLength(1)
    await writeFile(join(path, 'layerwright.lock'), text)
    hub.requests.length = 0
    await run(path, { mode: 'locked' })
    expect(hub.requests.filter((request) => request.includes('/api/'))).toEqual([])
  })

  test('what is not there is said by name', async () => {
    const build = async (uri: string): Promise<unknown> =>
      run(await world.project(yaml(entry(uri)), `p${randomBytes(4).toString('hex')}`))
    await expect(build('{ uri: "hf://org/none" }')).rejects.toMatchObject({ code: 'WEIGHTS_NOT_FOUND' })
    await expect(build('{ uri: "hf://org/tiny@nowhere" }')).rejects.toMatchObject({ code: 'WEIGHTS_NOT_FOUND' })
    await expect(build('{ uri: "hf://org/tiny", include: ["*.gguf"] }')).rejects.toMatchObject({
      code: 'WEIGHTS_NOT_FOUND',
      hint: expect.stringContaining('config.json') as string,
    })
    await expect(build('[{ uri: "hf://org/tiny" }, { uri: "hf://org/tiny@v2" }]')).rejects.toMatchObject({
      code: 'PROJECT_INVALID',
      message: expect.stringContaining('config.json') as string,
    })
  })

  test('bytes that are not those of the hub are refused', async () => {
    const path = await world.project(yaml(entry('{ uri: "hf://org/tiny" }')))
    const lock = JSON.parse(JSON.stringify(await lockOf(path))) as { weights: { files: { sha256: string }[] }[] }
    const file = lock.weights[0]?.files.at(-1)
    if (file !== undefined) file.sha256 = '0'.repeat(64)
    await writeFile(join(path, 'layerwright.lock'), JSON.stringify(lock))
    await expect(run(path, { mode: 'locked' })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})

describe('a large file', () => {
  const large = randomBytes(17 * 2 ** 20)

  test('that is cut goes on where it ended, in a later run as well', async () => {
    const own = await startHub({ repositories: { 'org/big': { main: { 'big.bin': large } } } })
    env = { HF_ENDPOINT: own.url, HOME: folder }
    try {
      const path = await world.project(yaml(entry('{ uri: "hf://org/big" }')))
      const abort = new AbortController()
      own.cut(1, 9 * 2 ** 20)
      const http = makeHttp({ env: {} })
      // The second request of the file is the machine going down.
      let files = 0
      const failing: typeof http = (request) => {
        if (request.url.endsWith('big.bin') && ++files === 2) abort.abort(new Error('gone'))
        return http(request)
      }
      const whole: BuildRequest = { project: path, mode: 'auto', format: 'oci' }
      const context = { ...world.context, env, http: failing, signal: abort.signal }
      await expect(build(whole, async () => [], context)).rejects.toThrow('gone')
      const kept = await partialBytes(world.context.store, `sha256:${sha256(large)}`)
      expect(kept).toBeGreaterThan(7 * 2 ** 20)
      own.requests.length = 0
      const files2 = await filesOf(await run(path))
      expect(files2['src/weights/big.bin']?.equals(large)).toBe(true)
      const ranges = own.requests.filter((request) => request.includes('bytes='))
      expect(ranges.every((request) => request.endsWith(` bytes=${kept}-`))).toBe(true)
      expect(ranges.length).toBeGreaterThan(0)
    } finally {
      await own.close()
    }
  })
})

describe('files of this machine', () => {
  test('a folder of the project lies at its target alone, with links to files followed', async () => {
    const path = await world.project(yaml(entry('{ uri: "weights", exclude: ["*.txt"] }', 'own', '/models/own')))
    await mkdir(join(path, 'weights/sub'), { recursive: true })
    await mkdir(join(path, 'weights/.git'))
    await writeFile(join(path, 'weights/.git/config'), 'x')
    await writeFile(join(path, 'weights/a.bin'), model)
    await writeFile(join(path, 'weights/notes.txt'), 'not taken')
    await symlink('../a.bin', join(path, 'weights/sub/link.bin'))
    const result = await run(path)
    const files = await filesOf(result)
    expect(Object.keys(files).sort()).toEqual(['models/own/a.bin', 'models/own/sub/link.bin'])
    const code = result.planned.plans[0]?.layers.at(-1)
    const spec = code !== undefined && 'spec' in code && code.spec.kind === 'files' ? code.spec.files : []
    const names = [...spec].map((file) => file.path)
    expect(names).toContain('weights/notes.txt')
    expect(names).not.toContain('weights/a.bin')
  })

  test('a lock is stale when they change, and building again sees it', async () => {
    const path = await world.project(yaml(entry('{ uri: "file://./w.bin" }')))
    await writeFile(join(path, 'w.bin'), model)
    const lock = await lockOf(path)
    expect(lock.weights?.[0]?.files[0]?.url).toBe('project:w.bin')
    await writeFile(join(path, 'layerwright.lock'), JSON.stringify(lock))
    await run(path, { mode: 'locked' })
    await writeFile(join(path, 'w.bin'), Buffer.concat([model, model]))
    await expect(run(path, { mode: 'locked' })).rejects.toMatchObject({ code: 'LOCK_STALE' })
    const again = await run(path)
    expect((await filesOf(again))['src/weights/w.bin']?.length).toBe(2 * model.length)
    expect(again.planned.validUntil).toBe(0)
  })

  test('an absolute path outside the project; a link to a folder is refused', async () => {
    const outside = join(folder, 'outside')
    await mkdir(join(outside, 'folder'), { recursive: true })
    await writeFile(join(outside, 'w.bin'), model)
    const path = await world.project(yaml(entry(`{ uri: "file://${outside}" }`)))
    expect(Object.keys(await filesOf(await run(path)))).toEqual(['src/weights/w.bin'])
    await symlink('folder', join(outside, 'around'))
    await expect(run(path)).rejects.toMatchObject({
      code: 'PROJECT_INVALID',
      message: expect.stringContaining('around') as string,
    })
  })
})

describe('https://', () => {
  test('a file is fetched once to learn its digest, and a stated digest is held to', async () => {
    const requests: string[] = []
    let etag = '"one"'
    let content = model
    const read = (name: string): Promise<Buffer> => readFile(join(packageRoot(), 'fixtures/tls', name))
    const server = createServer(
      { cert: await read('server.crt'), key: await read('server.key') },
      (request, response) => {
        requests.push(`${request.method} ${request.url}`)
        response.writeHead(200, { etag, 'content-length': content.length })
        response.end(request.method === 'HEAD' ? undefined : content)
      },
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const address = server.address()
      const uri = `https://localhost:${typeof address === 'object' ? address?.port : 0}/files/m%20x.bin`
      const tls = { SSL_CERT_FILE: join(packageRoot(), 'fixtures/tls/ca.crt') }
      world = { ...world, context: { ...world.context, http: makeHttp({ env: tls }) } }
      const path = await world.project(yaml(entry(`{ uri: "${uri}" }`)))
      expect((await filesOf(await run(path)))['src/weights/m x.bin']?.equals(model)).toBe(true)
      expect(requests).toEqual(['HEAD /files/m%20x.bin', 'GET /files/m%20x.bin'])
      await run(path, { mode: 'refresh' })
      expect(requests).toHaveLength(3)
      etag = '"two"'
      content = Buffer.concat([model, config])
      const changed = await filesOf(await run(path, { mode: 'refresh' }))
      expect(changed['src/weights/m x.bin']?.length).toBe(content.length)
      const stated = await world.project(yaml(entry(`{ uri: "${uri}#sha256=${sha256(model)}" }`)), 'stated')
      await expect(run(stated)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
