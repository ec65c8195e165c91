import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { serveRegistry, type RequestEvent, type ServedRegistry } from '../../../registry/server/serve.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { copyImage, openDestination } from '../../../src/destinations/index.ts'
import type { Image, ImageIndex } from '../../../src/image/image.ts'
import { Registries } from '../../../registry/registries.ts'
import { recordIo } from '../../support/output.ts'
import { sampleImage, sampleIndex } from '../../support/sample-image.ts'
import { pushImage } from '../../registry/server/push.ts'

let served: ServedRegistry
let requests: RequestEvent[]
const images = { v1: sampleImage({ label: 'one' }), v2: sampleImage({ label: 'two' }), v3: sampleIndex() }

beforeEach(async () => {
  requests = []
  served = await serveRegistry({ storage: { kind: 'memory' }, onRequest: (event) => requests.push(event) })
  for (const [tag, image] of Object.entries(images)) await push(image, tag)
})
afterEach(() => served.close())

const name = (): string => `${served.authority}/team/app`

async function push(image: Image | ImageIndex, tag: string): Promise<void> {
  const registries = new Registries({ env: {}, home: '/nonexistent' })
  await copyImage(image, await openDestination(`${name()}:${tag}`, { registries }))
}

async function run(...args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  const io = recordIo({ cwd: '/' })
  const status = await runCommandLine(args, io)
  return { status, out: io.stdout.text(), err: io.stderr.text() }
}

async function means(tag: string): Promise<string | null> {
  const response = await fetch(`${served.url}/v2/team/app/manifests/${tag}`, {
    method: 'HEAD',
    headers: { accept: '*/*' },
  })
  return response.headers.get('docker-content-digest')
}

/** Moves `stable` through tags, and checks each time that it means what it should. */
async function promote(...tags: readonly (keyof typeof images)[]): Promise<void> {
  for (const tag of tags) {
    expect(await run('promote', `${name()}:${tag}`, 'stable')).toMatchObject({ status: 0 })
    expect(await means('stable')).toBe(images[tag].descriptor.digest)
  }
}

describe('promote', () => {
  test('gives a tag to a digest and prints the reference that does not move', async () => {
    const { digest } = images.v2.descriptor
    expect(await run('promote', `${name()}@${digest}`, 'stable')).toMatchObject({
      status: 0,
      out: `${name()}:stable@${digest}\n`,
      err: '`stable` is release 1 now; it is new\n',
    })
    expect(await means('stable')).toBe(digest)
  })

  test('sends manifests alone, in eight requests, for a tag that was pushed before', async () => {
    await push(images.v1, 'stable')
    requests.length = 0
    await promote('v3')
    const asked = requests.filter(({ url }) => url.includes('/v2/team/app/'))
    expect(asked.filter(({ url }) => url.includes('/blobs/'))).toEqual([])
    // One of them is this test's.
    expect(asked.length).toBeLessThanOrEqual(9)
    expect(await run('rollback', `${name()}:stable`)).toMatchObject({ status: 0 })
    expect(await means('stable')).toBe(images.v1.descriptor.digest)
  })

  test('of what the tag means already moves nothing, and is recorded once', async () => {
    await promote('v1', 'v1', 'v1')
    const { out } = await run('versions', name(), '--json')
    const [first] = JSON.parse(out) as [{ releases: unknown[] }]
    expect(first.releases).toHaveLength(1)
    expect((await run('promote', `${name()}:v1`, 'stable')).err).toBe('Nothing to do: `stable` means this image\n')
  })

  test.each([
    [['promote', 'NAME:v9', 'stable'], 3, 'NAME:v9'],
    [['promote', 'NAME', 'stable'], 2, 'Say which image of the repository is to be `stable`'],
    [['promote', 'NAME:v1', 'other/app:stable'], 2, 'Not a tag: `other/app:stable`'],
    [['promote', 'NAME:v1', 't'.repeat(100)], 2, 'The tag has more than 91 characters'],
    [['rollback', 'NAME'], 2, 'Name the tag that is to go back'],
    [['rollback', 'NAME:stable'], 3, 'The registry has no such tag'],
    [['rollback', 'NAME:v1'], 3, 'There is nothing to go back to'],
    [['rollback', 'NAME:v1', '--to', 'yesterday'], 2, 'Not a release: `yesterday`'],
    [['rollback', 'NAME:v1', '--to', '7'], 3, 'has no such release to go back to: `7`'],
  ])('%j is refused', async (args, status, message) => {
    const found = await run(...args.map((word) => word.replace('NAME', name())))
    expect(found).toMatchObject({ status, out: '' })
    expect(found.err).toContain(message.replace('NAME', name()))
    expect((await run('tags', name())).out).toBe('v1\nv2\nv3\n')
  })
})

describe('rollback', () => {
  test('twice goes back twice, and then there is nothing to go back to', async () => {
    await promote('v1', 'v2', 'v3')
    for (const tag of ['v2', 'v1'] as const) {
      const { digest } = images[tag].descriptor
      expect(await run('rollback', `${name()}:stable`)).toMatchObject({
        status: 0,
        out: `${name()}:stable@${digest}\n`,
      })
      expect(await means('stable')).toBe(digest)
    }
    const { status, err } = await run('rollback', `${name()}:stable`)
    expect(status).toBe(3)
    expect(err).toContain('There is nothing to go back to')
    expect(await means('stable')).toBe(images.v1.descriptor.digest)
  })

  test('after a promotion goes to what was there before it, not to what was rolled back from', async () => {
    await promote('v1', 'v2')
    await run('rollback', `${name()}:stable`)
    await promote('v3')
    await run('rollback', `${name()}:stable`)
    expect(await means('stable')).toBe(images.v1.descriptor.digest)
  })

  test.each([['1'], [images.v1.descriptor.digest], [images.v1.descriptor.digest.slice(7, 15)]])(
    'goes to a release by its number or digest: %s',
    async (to) => {
      await promote('v1', 'v2', 'v3')
      expect(await run('rollback', `${name()}:stable`, '--to', to)).toMatchObject({ status: 0 })
      expect(await means('stable')).toBe(images.v1.descriptor.digest)
    },
  )

  test('knows what was pushed to the tag between two promotions', async () => {
    await promote('v1')
    await push(images.v2, 'stable')
    await promote('v3')
    await run('rollback', `${name()}:stable`)
    expect(await means('stable')).toBe(images.v2.descriptor.digest)
    await push(images.v3, 'stable')
    await run('rollback', `${name()}:stable`)
    expect(await means('stable')).toBe(images.v2.descriptor.digest)
  })

  test('says so when somebody pushed over the record, and moves nothing', async () => {
    await promote('v1', 'v2')
    const record = (await run('tags', name())).out.split('\n').find((tag) => /^stable\..*\.1\./.test(tag)) ?? ''
    await push(images.v3, record)
    expect(await run('rollback', `${name()}:stable`)).toMatchObject({ status: 5 })
    expect(await means('stable')).toBe(images.v2.descriptor.digest)
  })

  test('says so when the image was deleted', async () => {
    await promote('v1', 'v2')
    await run('delete', `${name()}@${images.v1.descriptor.digest}`)
    const { status, err } = await run('rollback', `${name()}:stable`)
    expect(status).toBe(3)
    expect(err).toContain('There is nothing to go back to')
  })
})

describe('versions prune', () => {
  const history = async (): Promise<readonly string[]> =>
    (await run('tags', name())).out.split('\n').filter((tag) => tag.startsWith('stable.'))

  test('shows what would be removed, and removes that', async () => {
    await promote('v1', 'v2', 'v3')
    await run('delete', `${name()}:v1`)
    const before = await history()
    const dry = await run('versions', 'prune', name(), '--keep', '2', '--dry-run')
    expect(dry).toMatchObject({ status: 0, err: '1 release would be removed\n' })
    const [head, row] = dry.out.split('\n')
    expect(head).toMatch(/^RELEASE +DIGEST +ALSO NAMED +REMOVED TAG$/)
    expect(row).toMatch(/^stable 1 \d{4}-\S+Z +sha256:[0-9a-f]{12} +- +stable\.\S+\.1\.[0-9a-f]{12}$/)
    expect(await history()).toEqual(before)
    const done = await run('versions', 'prune', `${name()}:stable`, '--keep', '2', '--json')
    expect(done).toMatchObject({ status: 0, err: '1 release removed\n' })
    const { digest } = images.v1.descriptor
    expect(JSON.parse(done.out)).toMatchObject([{ tag: 'stable', number: 1, digest, alsoNamed: [] }])
    expect(await history()).toHaveLength(2)
    expect(await run('versions', 'prune', name())).toMatchObject({ status: 0, out: '', err: 'Nothing removed\n' })
  })

  test.each([
    [['NAME', '--keep', '1'], 2, '--keep must be 2 or more: `1`'],
    [['NAME', '--keep', 'all'], 2, '--keep must be 2 or more: `all`'],
    [[`NAME@${images.v1.descriptor.digest}`], 2, 'Name a repository, or a tag of it'],
    [['NAME:v1'], 3, 'The tag was never promoted'],
    [['NAME', '--protect', 'v9'], 3, 'The registry has no such tag'],
  ])('%j is refused', async (args, status, message) => {
    const found = await run('versions', 'prune', ...args.map((word) => word.replace('NAME', name())))
    expect(found).toMatchObject({ status, out: '' })
    expect(found.err).toContain(message)
  })
})

test('two promotions at once: both are kept, and whoever lost is told', async () => {
  await promote('v1')
  const both = await Promise.all([run('promote', `${name()}:v2`, 'stable'), run('promote', `${name()}:v3`, 'stable')])
  const now = await means('stable')
  for (const [at, tag] of (['v2', 'v3'] as const).entries()) {
    const isLoser = images[tag].descriptor.digest !== now
    // The one who came last is never told that it lost; the other one may have been done before.
    if (!isLoser) expect(both[at]).toMatchObject({ status: 0 })
    else if (both[at]?.status !== 0) expect(both[at]).toMatchObject({ status: 75, out: '' })
  }
  const records = (await run('tags', name())).out.split('\n').filter((tag) => tag.startsWith('stable.'))
  const kept = await Promise.all(records.map(means))
  expect(new Set(kept)).toEqual(new Set(Object.values(images).map(({ descriptor }) => descriptor.digest)))
})

describe('versions', () => {
  interface Listed {
    readonly digest: string
    readonly tags: readonly string[]
    readonly releases: readonly { readonly tag: string; readonly number: number; readonly isCurrent: boolean }[]
    readonly platforms: readonly string[]
    readonly sizeBytes: number
  }
  const list = async (): Promise<readonly Listed[]> =>
    JSON.parse((await run('versions', name(), '--json')).out) as Listed[]

  test('tells tags, releases, platforms and sizes; what was promoted last stands first', async () => {
    await promote('v1', 'v2')
    const [first, second, third] = await list()
    expect(first).toMatchObject({
      digest: images.v2.descriptor.digest,
      tags: ['stable', 'v2'],
      releases: [{ tag: 'stable', number: 2, isCurrent: true }],
      platforms: ['linux/amd64'],
      sizeBytes: images.v2.manifest.layers.reduce((sum, { size }) => sum + size, 0),
    })
    expect(second).toMatchObject({ tags: ['v1'], releases: [{ number: 1, isCurrent: false }] })
    expect(third).toMatchObject({ tags: ['v3'], releases: [], platforms: ['linux/amd64', 'linux/arm64'] })
  })

  test('lists an image that only a release keeps, and no artifact', async () => {
    await promote('v1')
    await push(images.v2, 'v1')
    await push(images.v2, 'stable')
    await run('promote', `${name()}:v3`, 'stable')
    await pushImage(served.url, 'team/app', 'chart', { artifactType: 'application/vnd.example.chart' })
    const found = await list()
    expect(found.find(({ digest }) => digest === images.v1.descriptor.digest)).toMatchObject({
      tags: [],
      releases: [{ tag: 'stable', number: 1, isCurrent: false }],
    })
    expect(found).toHaveLength(3)
  })

  test('lists an image that was rolled back from', async () => {
    await promote('v1', 'v2')
    await run('rollback', `${name()}:stable`)
    await push(images.v1, 'v2')
    const { digest } = images.v2.descriptor
    expect((await list()).find((version) => version.digest === digest)).toMatchObject({ tags: [], releases: [] })
  })

  test('is a table for people', async () => {
    await promote('v1')
    const { out } = await run('versions', name())
    const [head, first] = out.split('\n')
    expect(head).toMatch(/^DIGEST +TAGS +RELEASES +REVISION +SIZE +PLATFORMS$/)
    expect(first).toMatch(/^sha256:[0-9a-f]{12} {2}stable v1 {2}stable 1\* \d{4}-\S+Z +- +\S+ \S+ +linux\/amd64$/)
  })
})
