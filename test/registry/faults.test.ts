import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { verify } from '../../src/core/digest.ts'
import {
  copyContent,
  copyImage,
  openDestination,
  openImage,
  openSource,
  readContent,
} from '../../src/destinations/index.ts'
import type { Image } from '../../src/image/image.ts'
import { sampleImage, sampleLayer } from '../support/sample-image.ts'
import {
  startFaultRegistry,
  type Fault,
  type FaultRegistry,
  type Misbehaviour,
  type RequestKind,
} from '../support/fault-registry.ts'
import { quickRegistries } from '../support/registries.ts'

const KIB = 1024
let registry: FaultRegistry
/** Short only where silence is the fault: a busy machine is slow to answer, too. */
let patienceMs: number | undefined
const STALL_MS = 300
const image = sampleImage({ layers: [sampleLayer('small', 200), sampleLayer('large', 300 * KIB)] })
/** For faults that are not about bodies. */
const small = sampleImage({ layers: [sampleLayer('tiny', 50), sampleLayer('small', 200)] })

beforeEach(async () => {
  registry = await startFaultRegistry()
  patienceMs = undefined
})
afterEach(() => registry.close())

async function push(repository = 'app', what: Image = image): Promise<void> {
  const { registries } = quickRegistries({ network: { patienceMs } })
  await copyImage(what, await openDestination(`${registry.host}/${repository}:v1`, { registries }))
}

async function pull(what: Image = image): Promise<void> {
  const { registries } = quickRegistries({ network: { patienceMs } })
  const found = await openImage(`${registry.host}/app:v1`, { registries })
  expect(found.descriptor.digest).toBe(what.descriptor.digest)
  for (const layer of found.layers) {
    for await (const _ of verify(layer.open({ reuse: true }), layer.descriptor, 'the layer'));
  }
}

async function copy(): Promise<void> {
  const { registries } = quickRegistries({ network: { patienceMs } })
  const source = await openSource(`${registry.host}/app:v1`, { registries })
  await copyContent(await readContent(source), await openDestination(`${registry.host}/other:v1`, { registries }))
}

/** Nothing but the whole image, and only with its tag. */
function expectWhole(repository: string, what: Image = image): void {
  const manifest = registry.manifests.get(repository)?.get('v1')
  expect(manifest?.bytes.equals(what.manifestBytes)).toBe(true)
  for (const { digest } of [what.manifest.config, ...what.manifest.layers])
    expect(registry.blobs.get(repository)?.has(digest)).toBe(true)
}

const CUT = { kind: 'cut', afterBytes: 100 * KIB } as const satisfies Misbehaviour
const unavailable = (status: number, headers = {}): Misbehaviour => ({ kind: 'status', status, headers })

/** What may go wrong with any request, once and three times. */
const ANYWHERE: Readonly<Record<string, Misbehaviour>> = {
  reset: { kind: 'reset' },
  stall: { kind: 'stall' },
  '500': unavailable(500),
  '502 with a page': { kind: 'status', status: 502, body: '<html>' },
  '503 with Retry-After': unavailable(503, { 'retry-after': '1' }),
  '429 with Retry-After': unavailable(429, { 'retry-after': '1' }),
  '408': unavailable(408),
  'lost acknowledgement': { kind: 'lost-ack' },
}

const PUSH_KINDS: readonly RequestKind[] = ['head-manifest', 'mount', 'put-upload', 'put-manifest']
const PULL_KINDS: readonly RequestKind[] = ['get-manifest', 'get-blob']
const COPY_KINDS: readonly RequestKind[] = ['get-manifest', 'head-manifest', 'mount', 'put-manifest']

describe.each(Object.entries(ANYWHERE))('%s', (_, behaviour) => {
  beforeEach(() => void (patienceMs = behaviour.kind === 'stall' ? STALL_MS : undefined))

  describe.each([1, 3])('%i times', (times) => {
    test.each(PUSH_KINDS)('a push survives it on %s', async (on) => {
      registry.fail({ on, times, do: behaviour })
      await push('app', small)
      expectWhole('app', small)
    })

    test.each(PULL_KINDS)('a pull survives it on %s', async (on) => {
      await registry.seed('app', 'v1', small)
      registry.fail({ on, times, do: behaviour })
      await pull(small)
    })

    test.each(COPY_KINDS)('a copy survives it on %s', async (on) => {
      await registry.seed('app', 'v1', small)
      registry.fail({ on, times, do: behaviour })
      await copy()
      expectWhole('other', small)
    })
  })
})

describe('an upload', () => {
  const onUpload = (behaviour: Misbehaviour, more: Partial<Fault> = {}): Fault => ({
    on: 'put-upload',
    do: behaviour,
    when: ({ headers }) => Number(headers['content-length']) > 100 * KIB,
    ...more,
  })

  test('cut in the middle goes on where the registry stands', async () => {
    registry.fail(onUpload(CUT))
    await push()
    expectWhole('app')
    const rest = registry.requests.find(({ headers }) => headers['content-range'] !== undefined)
    expect(rest?.headers['content-range']).toMatch(/^102400-/)
  })

  test('cut again and again survives', async () => {
    registry.fail(onUpload(CUT), { on: 'patch-upload', times: 2, do: { kind: 'cut', afterBytes: 50 * KIB } })
    await push()
    expectWhole('app')
  })

  test('whose session is forgotten begins anew', async () => {
    registry.fail(onUpload({ kind: 'forget-upload' }))
    await push()
    expectWhole('app')
  })

  test('whose status is not known begins anew', async () => {
    registry.fail(onUpload(CUT), { on: 'upload-status', do: { kind: 'forget-upload' } })
    await push()
    expectWhole('app')
  })

  test('that never works ends with an error that counts, and without a tag', async () => {
    registry.fail(onUpload({ kind: 'reset' }, { times: Infinity }))
    await expect(push()).rejects.toMatchObject({ code: 'NETWORK_FAILED' })
    expect(registry.manifests.get('app')).toBeUndefined()
  })

  test('refused for its size is sent in chunks', async () => {
    registry.fail(onUpload({ kind: 'status', status: 413 }, { times: Infinity }))
    await push()
    expectWhole('app')
    expect(registry.kinds()).toContain('patch-upload')
  })

  test('of the right bytes under a wrong digest is refused without a tag', async () => {
    const layer = sampleLayer('x', 5000)
    const wrong = { ...layer, open: sampleLayer('y', 5000).open }
    await expect(push('bad', sampleImage({ layers: [wrong] }))).rejects.toMatchObject({ code: /MISMATCH/ })
    expect(registry.manifests.get('bad')).toBeUndefined()
  })
})

/** Its layer is large enough for a connection of its own. */
const huge = sampleImage({ layers: [sampleLayer('small', 200), sampleLayer('huge', 5 << 20)] })

describe.each([
  ['a download', image],
  ['a large download', huge],
])('%s', (_, what) => {
  const pullIt = (): Promise<void> => pull(what)
  const onLarge = (behaviour: Misbehaviour, more: Partial<Fault> = {}): Fault => ({
    on: 'get-blob',
    do: behaviour,
    when: ({ url }) => url.includes(what.layers[1]?.descriptor.digest ?? '?'),
    ...more,
  })

  test.each([
    ['cut once', [onLarge(CUT)]],
    ['cut five times', [onLarge(CUT, { times: 5 })]],
    ['stalled in the middle', [onLarge({ kind: 'stall', afterBytes: 1000 })]],
    ['slow', [onLarge({ kind: 'slow', pieces: 5, pauseMs: 20 })]],
    ['that ends early, cleanly', [onLarge({ kind: 'end-early', afterBytes: 1000 })]],
    ['without a length', [onLarge({ kind: 'headers', set: { 'content-length': undefined } })]],
    ['whose range is ignored', [onLarge(CUT), onLarge({ kind: 'ignore-range' })]],
    ['whose range is another one', [onLarge(CUT), onLarge({ kind: 'lie-range' })]],
    [
      'with a body in chunks',
      [onLarge({ kind: 'headers', set: { 'content-length': undefined, 'transfer-encoding': 'chunked' } })],
    ],
    ['whose connection is reset', [onLarge({ kind: 'reset' })]],
    ['reset in the middle, with what was on its way', [onLarge({ ...CUT, isReset: true })]],
    ['refused with 503 for a while', [onLarge(unavailable(503, { 'retry-after': '1' }), { times: 2 })]],
    ['whose range is refused', [onLarge(CUT), onLarge({ kind: 'status', status: 416 })]],
  ] as const)('%s gives the right bytes', async (name, faults) => {
    await registry.seed('app', 'v1', what)
    if (name.startsWith('stalled')) patienceMs = STALL_MS
    registry.fail(...faults)
    await pullIt()
  })

  test('asks for the missing part only', async () => {
    await registry.seed('app', 'v1', what)
    registry.fail(onLarge(CUT))
    await pullIt()
    const size = what.layers[1]?.descriptor.size ?? 0
    const ranges = registry.requests.flatMap(({ kind, headers }) => (kind === 'get-blob' ? [headers.range] : []))
    expect(ranges.filter(Boolean)).toEqual([expect.stringMatching(new RegExp(`^bytes=\\d+-${size - 1}$`))])
  })

  test('that makes no progress ends', async () => {
    await registry.seed('app', 'v1', what)
    registry.fail(onLarge({ kind: 'cut', afterBytes: 0 }, { times: Infinity }))
    await expect(pullIt()).rejects.toMatchObject({ code: 'NETWORK_FAILED' })
  })

  test.each([
    ['corrupt', { kind: 'corrupt' }],
    ['with bytes too many', { kind: 'extra-bytes' }],
  ] as const)('%s once is fetched again when it is copied, and always is refused', async (_, behaviour) => {
    await registry.seed('app', 'v1', what)
    const elsewhere = await startFaultRegistry()
    const carry = async (): Promise<unknown> => {
      const { registries } = quickRegistries({ network: { patienceMs } })
      const source = await openSource(`${registry.host}/app:v1`, { registries })
      return copyContent(await readContent(source), await openDestination(`${elsewhere.host}/app:v1`, { registries }))
    }
    registry.fail(onLarge(behaviour, { times: Infinity }))
    await expect(carry()).rejects.toMatchObject({ code: /MISMATCH/ })
    expect(elsewhere.manifests.get('app')).toBeUndefined()
    registry.calm()
    registry.fail(onLarge(behaviour))
    await carry()
    expect(elsewhere.manifests.get('app')?.has('v1')).toBe(true)
    await elsewhere.close()
  })
})

describe('a mount', () => {
  test.each([401, 403, 404, 405, 400, 500, 202])('that answers %i becomes an upload', async (status) => {
    await registry.seed('app', 'v1', image)
    const reply: Misbehaviour =
      status === 202 ? { kind: 'reply', make: (reply) => ({ ...reply, status: 404 }) } : { kind: 'status', status }
    registry.fail({ on: 'mount', times: Infinity, do: reply })
    await copy()
    expectWhole('other')
  })
})
