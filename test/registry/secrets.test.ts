import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { copyImage, openDestination, openImage } from '../../src/destinations/index.ts'
import { startFaultRegistry, type FaultRegistry, type RequestKind } from '../support/fault-registry.ts'
import { quickRegistries } from '../support/registries.ts'
import { sampleImage } from '../support/sample-image.ts'

const SECRETS = ['hunter2', 'sig-canary', Buffer.from('me:hunter2').toString('base64')]
let registry: FaultRegistry

beforeEach(async () => {
  registry = await startFaultRegistry({
    protection: { kind: 'bearer', username: 'me', password: 'hunter2', tokenBody: (token) => ({ token }) },
    location: (path, origin) => `${origin}${path}&signature=sig-canary`,
  })
})
afterEach(() => registry.close())

const KINDS: readonly RequestKind[] = ['token', 'put-upload', 'put-manifest', 'get-manifest', 'get-blob']

test.each(KINDS)('no secret is in an error or an event when %s fails', async (on) => {
  for (const behaviour of [
    { kind: 'reset' },
    { kind: 'status', status: 403 },
    { kind: 'status', status: 500 },
  ] as const) {
    registry.calm()
    registry.manifests.clear()
    registry.blobs.clear()
    await registry.seed('other', 'v1', sampleImage())
    registry.fail({ on, times: Infinity, do: behaviour })
    const events: unknown[] = []
    const { registries } = quickRegistries({
      login: { kind: 'basic', username: 'me', password: 'hunter2' },
      report: (event) => void events.push(event),
      retry: { tries: 2 },
    })
    const push = async (): Promise<unknown> =>
      copyImage(sampleImage(), await openDestination(`${registry.host}/app:v1`, { registries }), {
        report: (event) => void events.push(event),
      })
    const pull = async (): Promise<void> => {
      const image = await openImage(`${registry.host}/other:v1`, { registries })
      for await (const _ of image.layers[0]?.open() ?? []);
    }
    const error: unknown = await (on.startsWith('get') ? pull() : push()).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(Error)
    const told = inspect([error, events], { depth: 20, showHidden: false })
    for (const secret of SECRETS) expect(told).not.toContain(secret)
    for (const { url } of registry.requests) if (url.includes('t1.')) expect.fail('a token in a URL')
  }
})
