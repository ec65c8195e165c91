import { expect, test } from 'vitest'
import { readBaseFacts } from '../../src/resolve/base-facts.ts'
import { makeLayer } from '../support/layers.ts'

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
const stanza = (name: string, version: string): string =>
  `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n\n`

test('readBaseFacts() reads release, C library, packages and interpreters of a Debian base', async () => {
  const layer = await makeLayer({
    'usr/lib/os-release': DEBIAN,
    'var/lib/dpkg/status': stanza('libc6', '2.36-9+deb12u10') + stanza('python3.11-minimal', '3.11.2-6+deb12u6'),
    'usr/bin/python3.11': 'ELF',
  })
  const facts = await readBaseFacts([layer], [])
  expect(facts).toMatchObject({ osId: 'debian', osVersion: '12', osCodename: 'bookworm' })
  expect(facts.libc).toEqual({ kind: 'glibc', major: 2, minor: 36 })
  expect(facts.pythons).toEqual([{ version: '3.11.2', executable: '/usr/bin/python3.11' }])
  expect(facts.packages).toHaveLength(2)
})

test('readBaseFacts() finds interpreters below /usr/local by their header or by PYTHON_VERSION, newest first', async () => {
  const layer = await makeLayer({
    'usr/local/bin/python3.12': 'ELF',
    'usr/local/include/python3.12/patchlevel.h': '#define PY_VERSION      \t"3.12.4"\n',
    'usr/local/bin/python3.13': 'ELF',
  })
  const facts = await readBaseFacts([layer], ['PATH=/bin', 'PYTHON_VERSION=3.13.1'])
  expect(facts.pythons).toEqual([
    { version: '3.13.1', executable: '/usr/local/bin/python3.13' },
    { version: '3.12.4', executable: '/usr/local/bin/python3.12' },
  ])
})

test('readBaseFacts() takes the upper layer where two have a file, and honours whiteouts', async () => {
  const lower = await makeLayer({ 'var/lib/dpkg/status': stanza('git', '1'), 'usr/lib/os-release': DEBIAN })
  const upper = await makeLayer({ './var/lib/dpkg/status': stanza('git', '2'), 'usr/lib/.wh.os-release': '' })
  const facts = await readBaseFacts([lower, upper], [])
  expect(facts.packages?.map(({ stanza: fields }) => fields.get('version'))).toEqual(['2'])
  expect(facts.osId).toBe('')
})

test('readBaseFacts() reads one file a package where images have no package manager', async () => {
  const layer = await makeLayer({
    'var/lib/dpkg/status.d/libc6': 'Package: libc6\nVersion: 2.41-12\nArchitecture: amd64\n',
    'var/lib/dpkg/status.d/libc6.md5sums': 'd41d8cd98f00b204e9800998ecf8427e  usr/lib/x\n',
  })
  expect((await readBaseFacts([layer], [])).libc).toEqual({ kind: 'glibc', major: 2, minor: 41 })
})

test('readBaseFacts() knows musl by its loader', async () => {
  const layer = await makeLayer({ 'lib/ld-musl-x86_64.so.1': 'ELF', 'etc/os-release': 'ID=alpine\nVERSION_ID=3.22\n' })
  expect((await readBaseFacts([layer], [])).libc).toEqual({ kind: 'musl', major: 1, minor: 2 })
})

test('readBaseFacts() has no C library for a base that holds none', async () => {
  const facts = await readBaseFacts([await makeLayer({ 'app/run': 'x' })], [])
  expect(facts).toMatchObject({ libc: undefined, packages: undefined, pythons: [] })
})

test('readBaseFacts() names a layer that cannot be read', async () => {
  const layer = await makeLayer({ a: 'b' })
  const broken = {
    ...layer,
    open: async function* () {
      yield Buffer.from('not gzip')
    },
  }
  await expect(readBaseFacts([broken], [])).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
})
