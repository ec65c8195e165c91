import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseReference } from '../../registry/reference.ts'
import { Registries } from '../../registry/registries.ts'
import { openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import { copyImage, openDestination, openImage } from '../../src/destinations/index.ts'
import {
  startFaultRegistry,
  type Fault,
  type FaultRegistry,
  type RequestKind,
  type Seen,
} from '../support/fault-registry.ts'
import { quickRegistries } from '../support/registries.ts'
import { sampleImage, sampleLayer } from '../support/sample-image.ts'

let registry: FaultRegistry
beforeEach(async () => void (registry = await startFaultRegistry()))
afterEach(() => registry.close())

const KINDS: readonly RequestKind[] = [
  'get-manifest',
  'head-manifest',
  'put-manifest',
  'get-blob',
  'head-blob',
  'start-upload',
  'mount',
  'put-upload',
  'patch-upload',
  'delete-upload',
  'upload-status',
]

/** Refuses what this says, on every kind of request. */
function refuse(when: (request: Seen) => boolean, headers: Readonly<Record<string, string>>): void {
  const fault = { times: Infinity, when, do: { kind: 'status', status: 429, headers } } as const
  registry.fail(...KINDS.map((on): Fault => ({ on, ...fault })))
}

/** A server's limit of requests, by real time; tells which were taken. */
function limit(perSecond: number, burst: number) {
  let left = burst
  let at = performance.now()
  const taken: Seen[] = []
  const isOver = (request: Seen): boolean => {
    const now = performance.now()
    left = Math.min(burst, left + ((now - at) * perSecond) / 1000)
    at = now
    if (left < 1) return true
    left--
    taken.push(request)
    return false
  }
  return { taken, isOver }
}

const image = sampleImage({ layers: Array.from({ length: 8 }, (_, index) => sampleLayer(`layer-${index}`, 5000)) })

describe.each([
  ['a time to wait', { 'retry-after': '0.2' }],
  ['none', {}],
])('a registry that takes 30 requests a second and names %s', (_, headers) => {
  test('gets a whole push, and is asked nothing that it was not asked without a limit', async () => {
    const registries = new Registries({ env: {}, credentials: async () => undefined })
    await copyImage(image, await openDestination(`${registry.host}/free:v1`, { registries }))
    const asked = registry.kinds().toSorted()
    registry.calm()
    const { taken, isOver } = limit(30, 4)
    refuse(isOver, headers)
    const notes: ProgressEvent[] = []
    const slowed = new Registries({ env: {}, credentials: async () => undefined, report: (event) => notes.push(event) })
    await copyImage(image, await openDestination(`${registry.host}/limited:v1`, { registries: slowed }))
    expect(taken.map(({ kind }) => kind).toSorted()).toEqual(asked)
    expect(registry.requests.length).toBeGreaterThan(asked.length)
    expect(registry.manifests.get('limited')?.get('v1')?.bytes.equals(image.manifestBytes)).toBe(true)
    expect(notes.filter(({ type }) => type === 'note')).toEqual([
      expect.objectContaining({ text: expect.stringContaining(registry.host) }),
    ])
  })
})

test('a 429 to any request of a push sends that one again and no other', async () => {
  const clean = quickRegistries()
  await copyImage(image, await openDestination(`${registry.host}/free:v1`, clean))
  const asked = registry.kinds().toSorted()
  registry.calm()
  const refused = new Set<string>()
  const isFirst = ({ method, url }: Seen): boolean => {
    const key = `${method} ${url}`
    if (refused.has(key)) return false
    refused.add(key)
    return true
  }
  refuse(isFirst, { 'retry-after': '1' })
  const { registries } = quickRegistries()
  await copyImage(image, await openDestination(`${registry.host}/app:v1`, { registries }))
  // Every one twice, and the upload addresses are those of the first time.
  expect(registry.kinds().toSorted()).toEqual([...asked, ...asked].toSorted())
})

test('a stream that is refused goes on in the same upload', async () => {
  const bytes = Buffer.alloc(300_000, 'stream')
  registry.fail({ on: 'patch-upload', times: 3, do: { kind: 'status', status: 429, headers: { 'retry-after': '1' } } })
  const { registries } = quickRegistries()
  const client = registries.client(parseReference(`${registry.host}/app:v1`), { actions: 'push' })
  expect(await client.pushStream({ open: openBytes(bytes) })).toEqual({ digest: digestOf(bytes), size: bytes.length })
  const patches = ['patch-upload', 'patch-upload', 'patch-upload', 'patch-upload']
  expect(registry.kinds()).toEqual(['start-upload', ...patches, 'put-upload'])
})

test.each(['mount', 'put-upload', 'put-manifest', 'head-manifest'] as const)(
  'a registry that refuses each %s is given up after five tries where it names no time, and asked nothing more',
  async (on) => {
    registry.fail({ on, times: Infinity, do: { kind: 'status', status: 429 } })
    const { registries } = quickRegistries()
    const one = sampleImage({ layers: [] })
    const pushing = openDestination(`${registry.host}/app:v1`, { registries }).then((to) => copyImage(one, to))
    await expect(pushing).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE', status: 429, tries: 5 })
    expect(registry.kinds().slice(-5)).toEqual([on, on, on, on, on])
    expect(registry.kinds().filter((kind) => kind === on)).toHaveLength(5)
  },
)

test('a registry that refuses for ever and always names a second is waited for two minutes, and not longer', async () => {
  await registry.seed('app', 'v1', image)
  refuse(() => true, { 'retry-after': '1' })
  const { registries, waits } = quickRegistries()
  await expect(openImage(`${registry.host}/app:v1`, { registries })).rejects.toMatchObject({ status: 429 })
  const sum = waits.reduce((total, ms) => total + ms, 0)
  expect(sum).toBeGreaterThan(100_000)
  expect(sum).toBeLessThanOrEqual(120_000)
})
