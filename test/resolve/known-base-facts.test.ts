import type { ImageConfig } from 'oci-spec-types'
import { expect, test } from 'vitest'
import type { Layer } from '../../layers/layer.ts'
import { memoryCache, type Cache } from '../../src/core/cache.ts'
import type { BaseFacts } from '../../src/resolve/base-facts.ts'
import { knownBaseFacts } from '../../src/resolve/known-base-facts.ts'
import { makeLayer } from '../support/layers.ts'

const STATUS = 'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n'
const FILES = {
  'usr/lib/os-release': 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
  'var/lib/dpkg/status': STATUS,
  'var/lib/dpkg/info/libc6.list': '/.\n/lib\n',
  'usr/share/keyrings/debian-archive-keyring.gpg': 'a key',
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\n',
  'usr/bin/python3.11': 'ELF',
  'usr/include/python3.11/patchlevel.h': '#define PY_VERSION "3.11.2"\n',
  'usr/lib/python3/dist-packages/six.egg-info': 'Name: six\nVersion: 1.16\n',
}

/** Facts of a base, and how many of its layers were read. */
async function read(layers: readonly Layer[], cache: Cache): Promise<{ facts: BaseFacts; opened: number }> {
  let opened = 0
  const counted = layers.map((layer): Layer => ({ ...layer, open: (options) => (opened++, layer.open(options)) }))
  const config: ImageConfig = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } }
  const [first] = layers
  if (first === undefined) throw new Error('A base without layers')
  const facts = await knownBaseFacts({ manifest: first.descriptor, config, layers: counted }, { cache: () => cache })
  return { facts, opened }
}

/** All that facts can tell, as plain values. */
function told({ system, distributions, ...facts }: BaseFacts): unknown {
  const upgraded = new Set(['libc6'])
  return { ...facts, distributions: [...distributions], keyring: system.keyring(), system: system.system(upgraded) }
}

test('knownBaseFacts() reads the layers of a base once, and tells the same of it again', async () => {
  const cache = memoryCache()
  const layers = [await makeLayer(FILES), await makeLayer({ 'etc/.wh.passwd': '' })]
  const first = await read(layers, cache)
  const second = await read(layers, cache)
  expect([first.opened, second.opened]).toEqual([2, 0])
  expect(told(second.facts)).toEqual(told(first.facts))
  expect(second.facts).toMatchObject({ osId: 'debian', libc: { minor: 36 }, pythons: [{ version: '3.11.2' }] })
})

test('knownBaseFacts() reads again when a tag has moved to other layers', async () => {
  const cache = memoryCache()
  await read([await makeLayer(FILES)], cache)
  const moved = await makeLayer({ ...FILES, 'var/lib/dpkg/status': STATUS.replace('2.36', '2.41') })
  const { facts, opened } = await read([moved], cache)
  expect(opened).toBe(1)
  expect(facts.libc).toMatchObject({ minor: 41 })
})

test('knownBaseFacts() refuses bytes that are not the layer, and remembers nothing of them', async () => {
  const cache = memoryCache()
  const [layer, other] = [await makeLayer(FILES), await makeLayer({ ...FILES, 'usr/lib/os-release': 'ID=evil\n' })]
  await expect(read([{ ...layer, open: other.open }], cache)).rejects.toMatchObject({
    code: expect.stringMatching(/^(?:DIGEST|SIZE)_MISMATCH$/) as string,
  })
  expect((await read([layer], cache)).opened).toBe(1)
})

test('knownBaseFacts() reads again when its memory is damaged', async () => {
  const cache = memoryCache()
  const layers = [await makeLayer(FILES)]
  const damaged: Cache = { ...cache, get: async (key) => (await cache.get(key))?.subarray(0, 100) }
  await read(layers, cache)
  expect((await read(layers, damaged)).opened).toBe(1)
})
