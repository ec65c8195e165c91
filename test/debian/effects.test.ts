import { describe, expect, it } from 'vitest'
import { readTar } from '../../src/core/tar-reader.ts'
import { packBaseFiles, unpackBaseFiles } from '../../src/debian/base-files.ts'
import { BaseSystemScan } from '../../src/debian/base-system.ts'
import {
  formatAlternativeGroup,
  hasUnreadAlternatives,
  parseAlternativeCalls,
  parseAlternativeGroup,
} from '../../src/debian/effects/alternatives.ts'
import { javaKeyStore } from '../../src/debian/effects/java-key-store.ts'
import { compareLibraryNames, formatLoaderCache, parseLoaderCache } from '../../src/debian/effects/loader-cache.ts'
import { subjectHash } from '../../src/debian/effects/certificates.ts'
import { unhonouredReason } from '../../src/debian/scripts.ts'
import { makeTar, type DebMember } from '../support/debian-package.ts'

describe('parseAlternativeCalls()', () => {
  it('reads a call over several lines, with slaves', () => {
    const script = `update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\
      --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz || true`
    expect(parseAlternativeCalls(script, 'amd64')).toEqual([
      {
        link: '/usr/bin/awk',
        name: 'awk',
        path: '/usr/bin/mawk',
        priority: 5,
        slaves: [{ link: '/usr/share/man/man1/awk.1.gz', name: 'awk.1.gz', path: '/usr/share/man/man1/mawk.1.gz' }],
      },
    ])
  })

  it('follows variables and loops', () => {
    const script = `
base=/usr/lib/jvm/x
tools='java keytool'
priority="1711"
for i in $tools; do
  update-alternatives --install /usr/bin/$i $i \${base}/bin/$i $priority
done`
    expect(parseAlternativeCalls(script, 'amd64').map(({ name, path, priority }) => [name, path, priority])).toEqual([
      ['java', '/usr/lib/jvm/x/bin/java', 1711],
      ['keytool', '/usr/lib/jvm/x/bin/keytool', 1711],
    ])
  })

  it('says when it cannot read a call, and runs nothing', () => {
    const script = 'update-alternatives --install /usr/bin/x x $(find / -name x) 10'
    expect(parseAlternativeCalls(script, 'amd64')).toEqual([])
    expect(hasUnreadAlternatives(script, 'amd64')).toBe(true)
    expect(hasUnreadAlternatives('update-alternatives --remove x /usr/bin/x', 'amd64')).toBe(false)
  })
})

describe('formatAlternativeGroup()', () => {
  it('writes what dpkg writes, and reads it back', () => {
    // From a bookworm system.
    const text = `auto
/usr/bin/awk
awk.1.gz
/usr/share/man/man1/awk.1.gz
nawk
/usr/bin/nawk

/usr/bin/gawk
10
/usr/share/man/man1/gawk.1.gz

/usr/bin/mawk
5
/usr/share/man/man1/mawk.1.gz
/usr/bin/mawk

`
    expect(formatAlternativeGroup(parseAlternativeGroup('awk', text))).toBe(text)
  })
})

describe('formatLoaderCache()', () => {
  const entries = [
    { soname: 'libz.so.1', path: '/lib/x86_64-linux-gnu/libz.so.1', flags: 0x0303 },
    { soname: 'liba.so.10', path: '/usr/lib/liba.so.10', flags: 0x0303 },
    { soname: 'liba.so.9', path: '/usr/lib/liba.so.9', flags: 0x0303 },
  ]

  it('sorts as the loader searches: newest name first', () => {
    const cache = formatLoaderCache(entries, 'ldconfig (test)')
    expect(cache.toString('latin1', 0, 20)).toBe('glibc-ld.so.cache1.1')
    expect(parseLoaderCache(cache).map(({ soname }) => soname)).toEqual(['libz.so.1', 'liba.so.10', 'liba.so.9'])
    expect(cache.toString('latin1').endsWith('ldconfig (test)')).toBe(true)
  })

  it('refuses caches that are cut off or of another kind', () => {
    const cache = formatLoaderCache(entries, 'x')
    expect(() => parseLoaderCache(cache.subarray(0, 60))).toThrow(RangeError)
    expect(() => parseLoaderCache(Buffer.from('ld.so-1.7.0'))).toThrow(RangeError)
  })

  it('compares numbers in names by value', () => {
    expect(compareLibraryNames('liba.so.10', 'liba.so.9')).toBeGreaterThan(0)
    expect(compareLibraryNames('liba.so', 'liba.so.1')).toBeLessThan(0)
    expect(compareLibraryNames('liba1', 'liba.so')).toBeGreaterThan(0)
    expect(compareLibraryNames('x', 'x')).toBe(0)
  })
})

// Made by `openssl req -x509`; the hash by `openssl x509 -subject_hash`.
const CERTIFICATE = Buffer.from(`-----BEGIN CERTIFICATE-----
MIIB3TCCAYOgAwIBAgIUSgR41T15J8yIXV1WYmaBGM7vXvUwCgYIKoZIzj0EAwIw
RDELMAkGA1UEBhMCREUxGzAZBgNVBAoMElByw7xmICBWZXJlaW4gZS5WLjEYMBYG
A1UEAwwPTGF5ZXIgVGVzdCBST09UMB4XDTI2MTEyMzE0MjY0N1oXDTM2MTEyMDE0
MjY0N1owRDELMAkGA1UEBhMCREUxGzAZBgNVBAoMElByw7xmICBWZXJlaW4gZS5W
LjEYMBYGA1UEAwwPTGF5ZXIgVGVzdCBST09UMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEXI0beyW1qQ0zoq7Hhj4cbhhSek7GBkUF7YsfNy8otNqkEMsAjF9l//S5
GAoH556kw6OgZas0N6oB/dQ4QTdQNKNTMFEwHQYDVR0OBBYEFNLuvLAgkT0P029O
E7CNJs7CNRPuMB8GA1UdIwQYMBaAFNLuvLAgkT0P029OE7CNJs7CNRPuMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAJR8v4T0UnEYznfvuTB5EeIK
j3xfvru8mtThf/cOcwQTAiBu+gUJU7hrKnAyuJqwZ0acgxWR9+btifeBqPFf1+Xt
jA==
-----END CERTIFICATE-----
`)

describe('subjectHash()', () => {
  it('gives the hash that OpenSSL looks for', () => {
    expect(subjectHash(CERTIFICATE)).toBe('270f79f3')
  })

  it('gives none for what is no certificate', () => {
    expect(subjectHash(Buffer.from('hello'))).toBeUndefined()
    expect(subjectHash(Buffer.from('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----'))).toBeUndefined()
  })
})

describe('javaKeyStore()', () => {
  it('counts equal names once', () => {
    const store = javaKeyStore([
      { alias: 'a', pem: CERTIFICATE },
      { alias: 'a', pem: CERTIFICATE },
      { alias: 'b', pem: CERTIFICATE },
    ])
    expect(store.readUInt32BE(0)).toBe(0xfeedfeed)
    expect(store.readUInt32BE(8)).toBe(2)
  })
})

describe('unhonouredReason()', () => {
  const reason = (script: string): string | undefined => unhonouredReason('sample', script, 'amd64')

  it('finds nothing in scripts that change nothing in an image', () => {
    expect(reason('#!/bin/sh\nset -e\n')).toBeUndefined()
    expect(
      reason(
        'if [ "$1" = "configure" ] || [ "$1" = "abort-upgrade" ]; then\n\tupdate-rc.d x defaults >/dev/null\nfi\nexit 0',
      ),
    ).toBeUndefined()
    expect(reason('case "$1" in\n  configure)\n    ldconfig\n  ;;\nesac')).toBeUndefined()
    expect(reason('dpkg-maintscript-helper rm_conffile /etc/x 1.0 -- "$@"')).toBeUndefined()
  })

  it('passes over what only an upgrade does', () => {
    expect(reason('if [ "$1" = upgrade ] && dpkg --compare-versions "$2" lt 2; then\n  mv /a /b\nfi')).toBeUndefined()
  })

  it('names the first thing that nobody did', () => {
    expect(reason('set -e\nif [ -x /usr/bin/x ]; then\n  build-cache --all\nfi')).toBe('build-cache --all')
    expect(reason('make-cache \\\n      --all')).toBe('make-cache --all')
  })
})

describe('packBaseFiles()', () => {
  it('gives back what it packed, and equal text for equal files', () => {
    const files = new Map([
      ['etc/passwd', Buffer.from('root:x\n')],
      ['var/lib/dpkg/status', Buffer.from('Package: ü\n')],
    ])
    expect(unpackBaseFiles(packBaseFiles(files))).toEqual(files)
    expect(packBaseFiles(new Map([...files].reverse()))).toBe(packBaseFiles(files))
    expect(unpackBaseFiles(undefined).size).toBe(0)
  })
})

describe('BaseSystemScan', () => {
  async function scan(...topDown: readonly (readonly DebMember[])[]): Promise<BaseSystemScan> {
    const found = new BaseSystemScan()
    for (const members of topDown) {
      const bytes = makeTar(members)
      const source = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes
      }
      for await (const member of readTar(source())) await found.visit(member)
      found.endLayer()
    }
    return found
  }

  it('takes the topmost file and honours what upper layers remove', async () => {
    const found = await scan(
      [{ name: 'etc/passwd', content: 'new' }, { name: 'etc/.wh.group' }, { name: 'etc/ld.so.conf.d/.wh..wh..opq' }],
      [
        { name: 'etc/passwd', content: 'old' },
        { name: 'etc/group', content: 'gone' },
        { name: 'etc/ld.so.conf.d/x.conf', content: '/x' },
      ],
    )
    const files = unpackBaseFiles(found.system(new Set()).files)
    expect([...files].map(([path, content]) => [path, content.toString()])).toEqual([['etc/passwd', 'new']])
  })

  it('notes links to folders and folders of unusual mode', async () => {
    const found = await scan([
      { name: 'tmp', type: 'directory', mode: 0o1777 },
      { name: 'usr', type: 'directory' },
      { name: 'usr/lib', type: 'directory' },
      { name: 'lib', type: 'symlink', target: 'usr/lib' },
      { name: 'data', type: 'symlink', target: '/srv/data' },
      { name: 'srv/data', type: 'directory' },
      { name: 'usr/liba.so', type: 'symlink', target: 'liba.so.1' },
    ])
    expect(found.system(new Set())).toMatchObject({
      keptFolders: { tmp: { mode: 0o1777, uid: 0, gid: 0 } },
      links: { data: 'srv/data' },
    })
  })

  it('keeps the file lists of packages that will be replaced, and no others', async () => {
    const found = await scan([
      { name: 'var/lib/dpkg/info/a:amd64.list', content: '/.\n' },
      { name: 'var/lib/dpkg/info/b.list', content: '/.\n' },
    ])
    expect([...unpackBaseFiles(found.system(new Set(['a'])).files).keys()]).toEqual(['var/lib/dpkg/info/a:amd64.list'])
  })
})
