import { expect, test } from 'vitest'
import { openBytes, type OpenOptions } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { distributionsFor, factsOf, type BaseFacts } from '../../src/resolve/base-facts.ts'
import { scanBase } from '../../src/resolve/scan-base.ts'
import { makeLayer } from '../support/layers.ts'

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
const stanza = (name: string, version: string): string =>
  `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n\n`

test('scanBase() and factsOf() reads release, C library, packages and interpreters of a Debian base', async () => {
  const layer = await makeLayer({
    'usr/lib/os-release': DEBIAN,
    'var/lib/dpkg/status': stanza('libc6', '2.36-9+deb12u10') + stanza('python3.11-minimal', '3.11.2-6+deb12u6'),
    'usr/bin/python3.11': 'ELF',
  })
  const facts = await readFacts([layer], [])
  expect(facts).toMatchObject({ osId: 'debian', osVersion: '12', osCodename: 'bookworm' })
  expect(facts.libc).toEqual({ kind: 'glibc', major: 2, minor: 36 })
  expect(facts.pythons).toEqual([{ version: '3.11.2', executable: '/usr/bin/python3.11' }])
  expect(facts.packages).toHaveLength(2)
})

test('scanBase() and factsOf() finds interpreters below /usr/local by their header or by PYTHON_VERSION, newest first', async () => {
  const layer = await makeLayer({
    'usr/local/bin/python3.12': 'ELF',
    'usr/local/include/python3.12/patchlevel.h': '#define PY_VERSION      \t"3.12.4"\n',
    'usr/local/bin/python3.13': 'ELF',
  })
  const facts = await readFacts([layer], ['PATH=/bin', 'PYTHON_VERSION=3.13.1'])
  expect(facts.pythons).toEqual([
    { version: '3.13.1', executable: '/usr/local/bin/python3.13' },
    { version: '3.12.4', executable: '/usr/local/bin/python3.12' },
  ])
})

test('scanBase() and factsOf() takes the upper layer where two have a file, and honours whiteouts', async () => {
  const lower = await makeLayer({ 'var/lib/dpkg/status': stanza('git', '1'), 'usr/lib/os-release': DEBIAN })
  const upper = await makeLayer({ './var/lib/dpkg/status': stanza('git', '2'), 'usr/lib/.wh.os-release': '' })
  const facts = await readFacts([lower, upper], [])
  expect(facts.packages?.map(({ stanza: fields }) => fields.get('version'))).toEqual(['2'])
  expect(facts.osId).toBe('')
})

test('scanBase() and factsOf() reads one file a package where images have no package manager', async () => {
  const layer = await makeLayer({
    'var/lib/dpkg/status.d/libc6': 'Package: libc6\nVersion: 2.41-12\nArchitecture: amd64\n',
    'var/lib/dpkg/status.d/libc6.md5sums': 'd41d8cd98f00b204e9800998ecf8427e  usr/lib/x\n',
  })
  expect((await readFacts([layer], [])).libc).toEqual({ kind: 'glibc', major: 2, minor: 41 })
})

test('scanBase() and factsOf() knows musl by its loader', async () => {
  const layer = await makeLayer({ 'lib/ld-musl-x86_64.so.1': 'ELF', 'etc/os-release': 'ID=alpine\nVERSION_ID=3.22\n' })
  expect((await readFacts([layer], [])).libc).toEqual({ kind: 'musl', major: 1, minor: 2 })
})

test('scanBase() and factsOf() has no C library for a base that holds none', async () => {
  const facts = await readFacts([await makeLayer({ 'app/run': 'x' })], [])
  expect(facts).toMatchObject({ libc: undefined, packages: undefined, pythons: [] })
})

test('an interpreter that a layer above removed is none', async () => {
  const lower = await makeLayer({
    'usr/bin/python3.11': 'ELF',
    'usr/local/bin/python3.12': 'ELF',
    'usr/local/include/python3.12/patchlevel.h': '#define PY_VERSION "3.12.4"\n',
    'var/lib/dpkg/status': stanza('python3.11-minimal', '3.11.2-6'),
  })
  const executables = async (upper: Record<string, string>): Promise<readonly string[]> => {
    const { pythons } = await readFacts([lower, await makeLayer(upper)], [])
    return pythons.map(({ executable }) => executable)
  }
  expect(await executables({ 'usr/bin/.wh.python3': '' })).toHaveLength(2)
  expect(await executables({ 'usr/bin/.wh.python3.11': '' })).toEqual(['/usr/local/bin/python3.12'])
  expect(await executables({ 'usr/.wh.local': '' })).toEqual(['/usr/bin/python3.11'])
})

test('scanBase() keeps no more than a base has', async () => {
  const metadata = 'x'.repeat(60 << 20)
  const names = ['a', 'b', 'c', 'd', 'e']
  const files = names.map((name) => [`usr/lib/python3/dist-packages/${name}-1.dist-info/METADATA`, metadata])
  const layer = await makeLayer(Object.fromEntries(files) as Record<string, string>)
  await expect(scanBase([layer])).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
})

test('scanBase() names a layer that cannot be read', async () => {
  const layer = await makeLayer({ a: 'b' })
  const bytes = Buffer.from('not gzip')
  const descriptor = { ...layer.descriptor, digest: digestOf(bytes), size: bytes.length }
  const broken = { ...layer, descriptor, open: openBytes(bytes) }
  await expect(readFacts([broken], [])).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
})

test('scanBase() lets go of the other layers when one cannot be read, and says which one that was', async () => {
  const good = await makeLayer({ a: 'b' })
  const bytes = Buffer.from('not gzip')
  const descriptor = { ...good.descriptor, digest: digestOf(bytes), size: bytes.length }
  const broken = { ...good, descriptor, open: openBytes(bytes) }
  const endless = {
    ...good,
    descriptor: { ...good.descriptor, digest: digestOf('endless'), size: 1 << 30 },
    open: async function* ({ signal }: OpenOptions = {}): AsyncGenerator<Uint8Array> {
      yield await new Promise<Uint8Array>((_, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('The layer was let go')))
      })
    },
  }
  await expect(scanBase([broken, endless])).rejects.toMatchObject({
    code: 'IMAGE_INVALID',
    message: expect.stringContaining(descriptor.digest) as string,
  })
})

test('distributionsFor() finds the packages of an interpreter in the order in which it looks', async () => {
  const layer = await makeLayer({
    'usr/lib/python3/dist-packages/numpy-1.24.2.egg-info/PKG-INFO': 'Debian numpy',
    'usr/lib/python3/dist-packages/six-1.16.0.egg-info': 'one file',
    'usr/local/lib/python3.11/dist-packages/numpy-2.0.dist-info/METADATA': 'pip numpy',
    'usr/local/lib/python3.12/site-packages/torch-2.9.dist-info/METADATA': 'torch of another Python',
    'usr/lib/python3/dist-packages/numpy/core.py': 'x',
  })
  const facts = await readFacts([layer], [])
  const found = (executable: string): readonly string[] =>
    distributionsFor(facts, executable).map(({ metadata }) => metadata)
  expect(found('/usr/bin/python3.11')).toEqual(['pip numpy', 'Debian numpy', 'one file'])
  expect(found('/usr/local/bin/python3.12')).toEqual(['torch of another Python'])
  expect(found('/opt/python/bin/python3.12')).toEqual([])
})

test('distributionsFor() forgets what a layer above removed: a file, a folder, or all of a folder', async () => {
  const site = 'usr/local/lib/python3.11/site-packages'
  const lower = await makeLayer({
    [`${site}/a-1.dist-info/METADATA`]: 'a 1',
    [`${site}/b-1.dist-info/METADATA`]: 'b 1',
    [`${site}/c-1.dist-info/METADATA`]: 'c 1',
  })
  const removing = await makeLayer({
    [`${site}/.wh.a-1.dist-info`]: '',
    [`${site}/a-2.dist-info/METADATA`]: 'a 2',
    [`${site}/b-1.dist-info/.wh.METADATA`]: '',
  })
  const names = async (layers: Parameters<typeof scanBase>[0]): Promise<readonly string[]> =>
    distributionsFor(await readFacts(layers, []), '/usr/local/bin/python3.11')
      .map(({ metadata }) => metadata)
      .sort()
  expect(await names([lower])).toEqual(['a 1', 'b 1', 'c 1'])
  expect(await names([lower, removing])).toEqual(['a 2', 'c 1'])
  const emptied = await makeLayer({ [`${site}/.wh..wh..opq`]: '', [`${site}/d-1.dist-info/METADATA`]: 'd 1' })
  expect(await names([lower, emptied])).toEqual(['d 1'])
})

async function readFacts(layers: Parameters<typeof scanBase>[0], environment: readonly string[]): Promise<BaseFacts> {
  return factsOf(await scanBase(layers), environment)
}
