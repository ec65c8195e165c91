import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI } from 'oci-spec-types'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { layerStore } from '../../layers/layer-store.ts'
import { Registries } from '../../registry/registries.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { makeRemoteCache, type RemoteCache } from '../../src/remote-cache/remote-cache.ts'
import { sharedLayerStore, type SharedLayerStore } from '../../src/remote-cache/shared-layer-store.ts'
import { Store } from '../../src/store/store.ts'
import { startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts'
import { findTool, needTool } from '../support/tool.ts'

let folder: string
let registry: DockerRegistry | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-cache-interop-'))
})
afterEach(async () => {
  await registry?.close()
  await rm(folder, { recursive: true })
})

it('layers are shared through Debian’s docker-registry, and mounted from there', async (context) => {
  needTool(await findTool('docker-registry'), 'docker-registry', context)
  registry = await startDockerRegistry()
  const { host } = registry
  const registries = new Registries({ env: {} })
  const cache = (actions: 'pull' | 'push'): RemoteCache =>
    makeRemoteCache({ client: registries.client({ registry: host, repository: 'team/cache' }, { actions }) })
  const machine = async (name: string, from: RemoteCache[], to: RemoteCache[]): Promise<SharedLayerStore> =>
    sharedLayerStore(layerStore(await Store.open(join(folder, name))), {
      from,
      to,
      // A cache that is passed over would make this test pass for nothing.
      report: (event) => {
        if (event.type === 'note' && event.level === 'warning') throw new Error(event.text)
      },
    })
  const content = Buffer.alloc(300_000, 'layer ')
  const key = digestOf('inputs')

  const first = await machine('first', [], [cache('push')])
  await first.notes.set(`claims ${key}`, Buffer.from('a note'))
  await first.save(key, { mediaType: OCI.layerGzip, blob: openBytes(content)(), diffId: () => digestOf('tar') })
  await first.publish()
  await first.publish()

  const second = await machine('second', [cache('pull')], [])
  const found = await second.find(key)
  expect(found).toMatchObject({
    descriptor: { digest: digestOf(content), size: content.length },
    diffId: digestOf('tar'),
  })
  expect(String(await second.notes.get(`claims ${key}`))).toBe('a note')
  expect((await collect(found?.open() ?? openBytes(Buffer.of())(), 1 << 20)).equals(content)).toBe(true)

  const image = registries.client({ registry: host, repository: 'team/image' }, { actions: 'push' })
  const open = (): never => {
    throw new Error('The blob is sent instead of mounted')
  }
  expect(
    await image.pushBlob(
      { descriptor: found?.descriptor ?? { mediaType: '', digest: 'sha256:', size: 0 }, open },
      { from: 'team/cache' },
    ),
  ).toBe('mounted')
})
