import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Registries } from '../../registry/registries.ts'
import { openSharedLayers, type CacheOptions } from '../../src/cli/shared-cache.ts'
import { Store } from '../../src/store/store.ts'
import { recordIo } from '../support/output.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-shared-'))
})
afterEach(() => rm(folder, { recursive: true }))

const open = async (options: Partial<CacheOptions>) => {
  const world = { store: await Store.open(join(folder, 'store')), registries: new Registries({ env: {} }) }
  return openSharedLayers(
    { cacheFrom: [], cacheTo: [], cacheTrustKey: [], ...options },
    world,
    recordIo({ cwd: folder }),
  )
}

test('openSharedLayers() shares nothing unless a cache is named', async () => {
  expect(await open({})).toBeUndefined()
  expect(await open({ cacheFrom: ['registry.example/cache'], cacheTo: ['registry.example/cache'] })).toBeDefined()
})

test('openSharedLayers() takes a cache as BuildKit writes it', async () => {
  const buildKit = 'type=registry,ref=registry.example/cache,mode=max'
  expect(await open({ cacheFrom: [buildKit], cacheTo: [buildKit] })).toBeDefined()
})

test.each([
  [{ cacheVerify: true }, 'USAGE', '--cache-verify needs a cache to compare with'],
  [{ cacheTo: ['registry.example/cache:v1'] }, 'USAGE', 'A cache is a whole repository'],
  [{ cacheFrom: ['Not A Name'] }, 'REFERENCE_INVALID', ''],
  [{ cacheTo: ['type=gha,scope=x'] }, 'USAGE', 'A cache is a repository of a registry: `type=gha,scope=x`'],
  [{ cacheTo: ['registry.example/cache'], cacheSignKey: 'absent.pem' }, 'FILE_UNREADABLE', 'Cannot read `absent.pem`'],
  [
    { cacheFrom: ['registry.example/cache'], cacheTrustKey: ['bad.pem'] },
    'CREDENTIALS_INVALID',
    'Not an Ed25519 key: `bad.pem`',
  ],
] as const)('openSharedLayers(%j) is refused', async (options, code, message) => {
  await writeFile(join(folder, 'bad.pem'), 'nonsense')
  await expect(open(options)).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
})
