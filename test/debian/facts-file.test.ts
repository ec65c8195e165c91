import { describe, expect, it } from 'vitest'
import { memoryCache } from '../../src/core/cache.ts'
import { factsCache } from '../../src/debian/facts-file.ts'
import type { DebFacts } from '../../src/debian/facts.ts'

const facts: DebFacts = {
  package: 'libx',
  version: '1:2-3',
  architecture: 'amd64',
  controlText: 'Package: libx\nDescription: ä\n',
  controlFiles: new Map([['postinst', Buffer.from([0, 255, 10])]]),
  paths: [
    { listed: 'usr/lib/libx.so.1', type: 'file', library: { soname: 'libx.so.1', elfClass: 2, machine: 62 } },
    { listed: 'usr/lib/libx.so', type: 'symlink', target: 'libx.so.1' },
  ],
  captured: new Map([['etc/ld.so.conf', Buffer.from('include x\n')]]),
  conffiles: [{ path: 'etc/x', md5: 'd41d8cd98f00b204e9800998ecf8427e' }],
}

describe('factsCache()', () => {
  it('gives back what was kept', async () => {
    const cache = factsCache(memoryCache())
    await cache.set('aa', facts)
    expect(await cache.get('aa')).toEqual(facts)
    expect(await cache.get('bb')).toBeUndefined()
  })

  it('takes an entry that cannot be read for absent', async () => {
    const broken = factsCache({ get: async () => Buffer.from('no gzip'), set: async () => {} })
    expect(await broken.get('aa')).toBeUndefined()
  })
})
