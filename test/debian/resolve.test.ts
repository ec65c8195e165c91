import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryCache, type Cache } from '../../src/core/cache.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent, type Report } from '../../src/core/progress.ts'
import type { DebianLock } from '../../src/debian/lock.ts'
import { openDebian, parseWanted, type DebianRequest } from '../../src/debian/resolve.ts'
import { debianSources, shippedKeys, ubuntuSources } from '../../src/debian/source.ts'
import { makeArchiveKey, startArchive, type ArchiveKey, type TestArchive } from '../support/debian-archive.ts'

const DAY_MS = 24 * 3600_000

let key: ArchiveKey
let archive: TestArchive

beforeAll(async () => {
  key = await makeArchiveKey()
  archive = await startArchive(key)
})
afterAll(() => archive.close())

interface Options {
  readonly cache?: Cache
  readonly now?: Date
  readonly trusted?: ArchiveKey
  readonly request?: Partial<DebianRequest>
  readonly checkValidUntil?: boolean
  readonly report?: Report
}

async function resolve(packages: readonly string[], options: Options = {}): Promise<DebianLock> {
  return (await open(packages, options)).lock
}

function open(packages: readonly string[], options: Options = {}): ReturnType<typeof openDebian> {
  const { cache = memoryCache(), now = new Date(), trusted = key, checkValidUntil = true, report = silent } = options
  const source = { url: archive.url, suite: 'stable', components: ['main'], keys: [trusted.publicKey], checkValidUntil }
  return openDebian(
    { suite: 'stable', architecture: 'amd64', packages, sources: [source], ...options.request },
    { http: makeHttp(), cache, now: () => now, report },
  )
}

const names = (lock: DebianLock): string[] => lock.packages.map((deb) => deb.package)

describe('resolveDebian()', () => {
  it('names each file by address, size and hash, and the releases it rests on', async () => {
    await archive.publish([
      { package: 'a', fields: { Depends: 'b (>= 1)' } },
      { package: 'b', version: '1.5' },
    ])
    const lock = await resolve(['a'])
    expect(names(lock)).toEqual(['a', 'b'])
    expect(lock.packages[1]).toMatchObject({ version: '1.5', root: 'a', url: `${archive.url}/pool/b_1.5.deb` })
    expect(lock.packages[1]?.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(lock.releases).toMatchObject([{ archive: archive.url, suite: 'stable', codename: 'stable' }])
  })

  it('reads the index by its hash, and not again while the Release file is the same', async () => {
    await archive.publish([{ package: 'a' }])
    archive.requests.length = 0
    const cache = memoryCache()
    const first = await resolve(['a'], { cache })
    const second = await resolve(['a'], { cache })
    expect(second).toEqual(first)
    expect(archive.requests.filter((path) => path.includes('/by-hash/SHA256/'))).toHaveLength(1)
    expect(archive.requests.filter((path) => path.endsWith('InRelease'))).toHaveLength(2)
  })

  it('chooses again, with more packages, without asking the archive again', async () => {
    await archive.publish([{ package: 'a' }, { package: 'gcc', fields: { Depends: 'libgcc' } }, { package: 'libgcc' }])
    const { lock, archives } = await open(['a'])
    expect(names(lock)).toEqual(['a'])
    const more = await resolve(['a', 'gcc'])
    archive.requests.length = 0
    const chosen = await archives.choose(['a', 'gcc'])
    expect(chosen).toEqual(more)
    // Whether the scripts of `gcc` and `libgcc` are run here is read in the packages themselves.
    expect(archive.requests.filter((path) => !path.startsWith('/pool/'))).toEqual([])
    await expect(archives.choose(['gccc'])).rejects.toMatchObject({ code: 'PACKAGE_NOT_FOUND' })
  })

  it('reads the index by its name where the archive has no hashes', async () => {
    await archive.publish([{ package: 'a' }], { hasByHash: false })
    archive.requests.length = 0
    await resolve(['a'])
    expect(archive.requests).toContain('/dists/stable/main/binary-amd64/Packages.gz')
  })

  it('takes priority required, Essential, apt and certificates for a new system', async () => {
    await archive.publish([
      { package: 'libfoo' },
      { package: 'base-files', fields: { Essential: 'yes' } },
      { package: 'tzdata', fields: { Priority: 'required', Depends: 'libfoo' } },
      { package: 'apt' },
      { package: 'ca-certificates' },
      { package: 'extra' },
    ])
    const lock = await resolve(['extra'], { request: { isBootstrap: true } })
    expect(names(lock).sort()).toEqual(['apt', 'base-files', 'ca-certificates', 'extra', 'libfoo', 'tzdata'])
    expect(lock.packages.filter((deb) => deb.root === 'base')).toHaveLength(5)
  })

  it('suggests the nearest name for one that is not there', async () => {
    await archive.publish([{ package: 'ffmpeg' }])
    await expect(resolve(['ffmpg'])).rejects.toMatchObject({
      code: 'PACKAGE_NOT_FOUND',
      hint: 'Did you mean `ffmpeg`?',
    })
    await expect(resolve(['ffmpeg=9'])).rejects.toMatchObject({
      code: 'PACKAGE_NOT_FOUND',
      hint: expect.stringContaining('It has 1'),
    })
  })

  it('names what took the place of a package that newer releases lack', async () => {
    await archive.publish([{ package: 'libssl3' }])
    await expect(resolve(['libssl1.1'])).rejects.toMatchObject({
      code: 'PACKAGE_NOT_FOUND',
      hint: 'Its place was taken by `libssl3`.',
    })
    // Only what the archive has is named.
    await expect(resolve(['libtinfo5'])).rejects.toMatchObject({ hint: expect.stringContaining('Look the name up') })
  })

  it('takes what an empty package brought where newer releases lack it, and says so', async () => {
    await archive.publish([{ package: 'libgl1', fields: { Depends: 'libglx0' } }, { package: 'libglx0' }])
    const said: string[] = []
    const report: Report = (event) => void (event.type === 'note' && said.push(`${event.level}: ${event.text}`))
    const lock = await resolve(['libgl1-mesa-glx'], { report })
    // Under the name that was asked for, so that the layer of what a project adds is told from the base's.
    expect(lock.packages.map((deb) => [deb.package, deb.root])).toEqual([
      ['libgl1', 'libgl1-mesa-glx'],
      ['libglx0', 'libgl1-mesa-glx'],
    ])
    expect(said).toEqual([
      'info: stable no longer has `libgl1-mesa-glx`, which held nothing but its need of `libgl1`: that is taken',
    ])
    expect(names(await resolve(['libgl1', 'libgl1-mesa-glx']))).toEqual(['libgl1', 'libglx0'])
    await expect(resolve(['libegl1-mesa'])).rejects.toMatchObject({ code: 'PACKAGE_NOT_FOUND' })
  })

  it('takes a package that an archive still has as it is there', async () => {
    await archive.publish([{ package: 'libgl1-mesa-glx', fields: { Depends: 'libgl1' } }, { package: 'libgl1' }])
    expect(names(await resolve(['libgl1-mesa-glx'])).toSorted()).toEqual(['libgl1', 'libgl1-mesa-glx'])
  })

  it('names the scripts that nobody will stand in for, from the start of each package', async () => {
    await archive.publish([
      { package: 'a', fields: { Depends: 'b' }, controlFiles: { postinst: '#!/bin/sh\nset -e\nbuild-world\n' } },
      { package: 'b', controlFiles: { postinst: '#!/bin/sh\nldconfig\n' } },
    ])
    expect((await resolve(['a'])).scriptsNotRun).toEqual([{ package: 'a', script: 'postinst', reason: 'build-world' }])
  })

  it('takes the version that is asked for', async () => {
    await archive.publish([
      { package: 'a', version: '2' },
      { package: 'a', version: '1' },
    ])
    expect((await resolve(['a'])).packages[0]?.version).toBe('2')
    expect((await resolve(['a=1'])).packages[0]?.version).toBe('1')
  })
})

describe('fetchRelease(), through resolveDebian()', () => {
  it('refuses another key, an altered file and a missing one', async () => {
    await archive.publish([{ package: 'a' }])
    await expect(resolve(['a'], { trusted: await makeArchiveKey() })).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
    await archive.publish([{ package: 'a' }], { tamperRelease: true })
    await expect(resolve(['a'])).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await archive.publish([{ package: 'a' }], { suite: 'other' })
    await expect(resolve(['a'])).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE', data: { status: 404 } })
  })

  it('takes nothing from text outside of the signed part', async () => {
    await archive.publish([{ package: 'a' }], { unsignedText: 'Codename: evil\nSHA256:\n 0 0 main/x\n' })
    const { releases, packages } = await resolve(['a'])
    expect(releases.map(({ codename }) => codename)).toEqual(['stable'])
    expect(packages.map((deb) => deb.package)).toEqual(['a'])
  })

  it('refuses an index that is not the one the Release file lists', async () => {
    await archive.publish([{ package: 'a' }], { tamperIndex: true })
    await expect(resolve(['a'])).rejects.toMatchObject({ code: expect.stringMatching(/^(DIGEST|SIZE)_MISMATCH$/) })
  })

  it('refuses an expired file unless it is of the past by choice', async () => {
    await archive.publish([{ package: 'a' }], { validUntil: new Date(Date.now() - 1000) })
    await expect(resolve(['a'])).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('expired'),
    })
    expect(names(await resolve(['a'], { checkValidUntil: false }))).toEqual(['a'])
  })

  it('refuses a file from the future', async () => {
    await archive.publish([{ package: 'a' }])
    const now = new Date(Date.now() - 3 * DAY_MS)
    await expect(resolve(['a'], { now })).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
      message: expect.stringContaining(`signed after the time that this machine has, ${now.toISOString()}`) as string,
      hint: expect.stringContaining("Set this machine's clock") as string,
    })
  })

  it('refuses a state older than one that was seen', async () => {
    const cache = memoryCache()
    await archive.publish([{ package: 'a', version: '2' }])
    await resolve(['a'], { cache })
    await archive.publish([{ package: 'a', version: '1' }], { date: new Date(Date.now() - DAY_MS) })
    await expect(resolve(['a'], { cache })).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('was seen'),
    })
  })
})

describe('an archive of another make', () => {
  const flat = (suite: string): Partial<DebianRequest> => ({
    sources: [{ url: archive.url, suite, components: [], keys: [key.publicKey] }],
  })

  it('may be flat, at its root or in a folder', async () => {
    for (const [flatFolder, suite, prefix] of [
      ['', '/', ''],
      ['x86_64', 'x86_64/', 'x86_64/'],
    ] as const) {
      await archive.publish([{ package: 'a', fields: { Depends: 'b' } }, { package: 'b' }], { flatFolder })
      const lock = await resolve(['a'], { request: flat(suite) })
      expect(lock.packages.map(({ url }) => url)).toEqual([
        `${archive.url}/${prefix}a_1.deb`,
        `${archive.url}/${prefix}b_1.deb`,
      ])
      expect(lock.releases[0]).toMatchObject({ archive: archive.url, suite })
    }
  })

  it('may have its index in xz, in zstd or as it is', async () => {
    for (const indexEnding of ['.xz', '.zst', ''] as const) {
      await archive.publish([{ package: 'a' }], { indexEnding })
      expect(names(await resolve(['a']))).toEqual(['a'])
    }
  })

  it('may sign in a file of its own, which is held to the same', async () => {
    await archive.publish([{ package: 'a' }], { isDetached: true })
    expect(names(await resolve(['a']))).toEqual(['a'])
    await expect(resolve(['a'], { trusted: await makeArchiveKey() })).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
    await archive.publish([{ package: 'a' }], { isDetached: true, tamperRelease: true })
    await expect(resolve(['a'])).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
  })

  it('is refused without a signature', async () => {
    for (const flatFolder of [undefined, '']) {
      await archive.publish([{ package: 'a' }], { isUnsigned: true, flatFolder })
      const request = flatFolder === undefined ? {} : flat('/')
      await expect(resolve(['a'], { request })).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    }
  })

  it("may be signed by a key of the base's keyring, which is read only when no other fits", async () => {
    await archive.publish([{ package: 'a' }])
    const source = (furtherKeys: readonly Uint8Array[], keys: readonly Uint8Array[]): Partial<DebianRequest> => ({
      sources: [{ url: archive.url, suite: 'stable', components: ['main'], keys, furtherKeys }],
    })
    const other = await makeArchiveKey()
    const damaged = Buffer.from('no key')
    expect(names(await resolve(['a'], { request: source([key.publicKey], [other.publicKey]) }))).toEqual(['a'])
    expect(names(await resolve(['a'], { request: source([damaged], [key.publicKey]) }))).toEqual(['a'])
    await expect(resolve(['a'], { request: source([damaged], [other.publicKey]) })).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
  })
})

describe('parseWanted()', () => {
  it('reads names as apt takes them', () => {
    expect(parseWanted('git', 'amd64')).toEqual({ name: 'git', version: undefined })
    expect(parseWanted('git:amd64=1:2-3', 'amd64')).toEqual({ name: 'git', version: '1:2-3' })
  })

  it('refuses other architectures and what is no name', () => {
    expect(() => parseWanted('git:i386', 'amd64')).toThrow("another architecture than the image's amd64")
    for (const text of ['', 'a b', '-y', '$(id)', 'Git'])
      expect(() => parseWanted(text, 'amd64'), text).toThrow('Not the name')
  })
})

describe('debianSources()', () => {
  it('has main, updates and security, and takes mirrors and snapshots', () => {
    expect(debianSources('bookworm').map(({ suite }) => suite)).toEqual([
      'bookworm',
      'bookworm-updates',
      'bookworm-security',
    ])
    const mirrored = debianSources('trixie', { archive: 'http://a/debian/', securityArchive: 'http://b/sec' })
    expect(mirrored.map(({ url }) => url)).toEqual(['http://a/debian', 'http://a/debian', 'http://b/sec'])
    const past = debianSources('trixie', { snapshot: '20260101T000000Z', snapshotArchive: 'http://s' })
    expect(past[2]).toMatchObject({ url: 'http://s/debian-security/20260101T000000Z', checkValidUntil: false })
  })

  it('ships the keys of both distributions', async () => {
    expect((await shippedKeys('debian')).length).toBeGreaterThanOrEqual(9)
    expect(await shippedKeys('ubuntu')).toHaveLength(1)
  })

  it("finds Ubuntu's ports where they are", () => {
    const [amd64] = ubuntuSources('jammy', 'amd64')
    const [arm64] = ubuntuSources('jammy', 'arm64')
    expect(amd64?.url).not.toBe(arm64?.url)
    expect(ubuntuSources('jammy', 'arm64', 'http://m/ubuntu/').map(({ url }) => url)).toEqual(
      Array(3).fill('http://m/ubuntu'),
    )
  })
})
