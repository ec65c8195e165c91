import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeConfig } from '../../src/config/make-config.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent } from '../../src/core/progress.ts'
import type { BaseFacts } from '../../src/resolve/base-facts.ts'
import { aptKeyDigests, openAptSources } from '../../src/resolve/apt-sources.ts'
import type { ResolveContext } from '../../src/resolve/context.ts'
import { factsOf } from '../../src/resolve/base-facts.ts'
import { scanBase } from '../../src/resolve/scan-base.ts'
import { prepareQuestion } from '../../src/resolve/resolve.ts'
import { systemPackagesFor } from '../../src/resolve/system-packages.ts'
import { Store } from '../../src/store/store.ts'
import { makeArchiveKey, startArchive, type ArchiveKey, type TestArchive } from '../support/debian-archive.ts'
import { sha256 } from '../support/debian-package.ts'
import { makeLayer } from '../support/layers.ts'

let distributionKey: ArchiveKey
let vendorKey: ArchiveKey
let distribution: TestArchive
let vendor: TestArchive
let folder = ''
let store: Store
let keyServer: Server
let keyUrl = ''

beforeAll(async () => {
  ;[distributionKey, vendorKey] = await Promise.all([makeArchiveKey(), makeArchiveKey()])
  distribution = await startArchive(distributionKey)
  vendor = await startArchive(vendorKey)
  folder = await mkdtemp(join(tmpdir(), 'apt-sources-'))
  store = await Store.open(join(folder, 'store'))
  await writeFile(join(folder, 'vendor.asc'), vendorKey.publicKey)
  keyServer = createServer((_, response) => response.end(vendorKey.publicKey))
  await new Promise<void>((resolve) => keyServer.listen(0, '127.0.0.1', resolve))
  const address = keyServer.address()
  keyUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/vendor.asc`
})
afterAll(async () => {
  await Promise.all([distribution.close(), vendor.close(), new Promise((resolve) => keyServer.close(resolve))])
  await rm(folder, { recursive: true, force: true })
})

function contextOf(): ResolveContext {
  const cache = memoryCache()
  return {
    store,
    http: makeHttp(),
    cache: () => cache,
    openBase: () => Promise.reject(new TypeError('No image is asked for')),
    projectFolder: folder,
    env: {},
    report: silent,
    now: () => Date.now(),
  }
}

interface KeyForms {
  readonly key: string | { readonly url: string; readonly sha256: string }
}

function configOf({ key }: KeyForms): ReturnType<typeof makeConfig> {
  return makeConfig({
    build: {
      system_packages: ['libcudnn'],
      debian: { mirror: distribution.url },
      apt_sources: [{ url: `${vendor.url}/`, suite: '/', key }],
    },
  })
}

async function baseFacts(more: Readonly<Record<string, string>> = {}): Promise<BaseFacts> {
  const layer = await makeLayer({
    'usr/lib/os-release': 'ID=ubuntu\nVERSION_CODENAME=jammy\n',
    'var/lib/dpkg/status':
      'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\nMaintainer: x\n',
    'usr/share/keyrings/ubuntu-archive-keyring.gpg': distributionKey.publicKey.toString('latin1'),
    'usr/share/keyrings/vendor.gpg': 'no key at all',
    ...more,
  })
  return factsOf(await scanBase([layer]), [])
}

const request = (config: ReturnType<typeof makeConfig>): Parameters<typeof systemPackagesFor>[2] =>
  ({ config, platform: { os: 'linux', architecture: 'amd64' } }) as Parameters<typeof systemPackagesFor>[2]

async function publish(): Promise<void> {
  // The distribution has three suites and four components, all of them alike here.
  await distribution.publishSuites(
    ['jammy', 'jammy-updates', 'jammy-security'],
    ['main', 'restricted', 'universe', 'multiverse'],
    [{ package: 'zlib1g' }],
  )
  await vendor.publish([{ package: 'libcudnn', fields: { Depends: 'zlib1g, libc6 (>= 2)' } }], { flatFolder: '' })
}

describe("archives that a base's own apt asks", () => {
  const list = (options: string): string => `# NVIDIA's\ndeb ${options}${vendor.url}/ /\ndeb-src ${vendor.url} /\n`
  const files = (options: string): Record<string, string> => ({
    'etc/apt/sources.list': `deb http://archive.ubuntu.com/ubuntu jammy main\ndeb ${distribution.url} jammy main\n`,
    'etc/apt/sources.list.d/cuda.list': list(options),
    'usr/share/keyrings/cuda-archive-keyring.gpg': vendorKey.publicKey.toString('latin1'),
  })
  const signed = '[arch=amd64 signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] '
  const ask = async (names: string[], base: Record<string, string>): Promise<string[]> => {
    const config = makeConfig({ build: { debian: { mirror: distribution.url } } })
    const lock = await systemPackagesFor(names, await baseFacts(base), request(config), contextOf())
    return (lock?.packages ?? []).map(({ url }) => url).sort()
  }

  it('bring what the distribution does not have', async () => {
    await publish()
    const both = [`${distribution.url}/pool/zlib1g_1.deb`, `${vendor.url}/libcudnn_1.deb`].sort()
    expect(await ask(['libcudnn'], files(signed))).toEqual(both)
    const { 'etc/apt/sources.list.d/cuda.list': _, ...others } = files('')
    const stanza = `Types: deb\nURIs: ${vendor.url}\nSuites: /\nSigned-By:\n${vendorKey.publicKey
      .toString('utf8')
      .trimEnd()
      .replaceAll(/^$/gm, '.')
      .replaceAll(/^/gm, ' ')}\n`
    expect(await ask(['libcudnn'], { ...others, 'etc/apt/sources.list.d/cuda.sources': stanza })).toEqual(both)
    const trusted = { 'etc/apt/trusted.gpg.d/cuda.gpg': vendorKey.publicKey.toString('latin1') }
    expect(await ask(['libcudnn'], { ...files(''), ...trusted })).toEqual(both)
  })

  it('are not asked for what the distribution has', async () => {
    await publish()
    vendor.requests.length = 0
    expect(await ask(['zlib1g'], files(signed))).toEqual([`${distribution.url}/pool/zlib1g_1.deb`])
    expect(vendor.requests).toEqual([])
  })

  it('are held to the keys that their list names', async () => {
    await publish()
    const other = files('[signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] ')
    await expect(ask(['libcudnn'], other)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await expect(ask(['libcudnn'], files(''))).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
    await expect(ask(['libcudnn'], files('[signed-by=/nowhere.gpg] '))).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
  })

  it('are for their own architecture', async () => {
    await publish()
    await expect(ask(['libcudnn'], files('[arch=arm64] '))).rejects.toMatchObject({
      code: 'PACKAGE_NOT_FOUND',
      hint: expect.stringContaining('build.apt_sources'),
    })
  })
})

describe('build.apt_sources', () => {
  it("brings a vendor's flat archive beside the distribution's, by each form of its key", async () => {
    await publish()
    const keys = [
      'vendor.asc',
      vendorKey.publicKey.toString('utf8'),
      { url: keyUrl, sha256: sha256(vendorKey.publicKey) },
    ]
    for (const key of keys) {
      const lock = await systemPackagesFor(['libcudnn'], await baseFacts(), request(configOf({ key })), contextOf())
      expect(lock?.packages.map(({ url }) => url).sort()).toEqual(
        [`${distribution.url}/pool/zlib1g_1.deb`, `${vendor.url}/libcudnn_1.deb`].sort(),
      )
      expect(lock?.releases.at(-1)).toMatchObject({ archive: vendor.url, suite: '/' })
    }
  })

  it('refuses an archive that another key signs', async () => {
    await publish()
    const key = distributionKey.publicKey.toString('utf8')
    await expect(
      systemPackagesFor(['libcudnn'], await baseFacts(), request(configOf({ key })), contextOf()),
    ).rejects.toMatchObject({ code: 'SIGNATURE_INVALID', message: expect.stringContaining(vendor.url) })
  })

  it('does not take packages from an archive that is not signed', async () => {
    await publish()
    await vendor.publish([{ package: 'libcudnn' }], { flatFolder: '', isUnsigned: true })
    await expect(
      systemPackagesFor(['libcudnn'], await baseFacts(), request(configOf({ key: 'vendor.asc' })), contextOf()),
    ).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
  })

  it('makes other answers of another key in the same file', async () => {
    const config = configOf({ key: 'other.asc' })
    await writeFile(join(folder, 'other.asc'), vendorKey.publicKey)
    const before = await prepareQuestion(config, contextOf())
    await writeFile(join(folder, 'other.asc'), distributionKey.publicKey)
    expect((await prepareQuestion(config, contextOf())).inputs).not.toBe(before.inputs)
    expect(await aptKeyDigests(config.build.aptSources, folder)).toEqual([
      `sha256:${sha256(distributionKey.publicKey)}`,
    ])
  })
})

describe('openAptSources()', () => {
  const open = (key: KeyForms['key']): Promise<unknown> =>
    openAptSources(configOf({ key }).build.aptSources, contextOf())

  it('refuses what is no public key, and a secret one', async () => {
    await writeFile(join(folder, 'page.html'), '<html>')
    for (const key of ['page.html', vendorKey.privateKey, '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx']) {
      await expect(open(key), key.slice(0, 40)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining('no OpenPGP public key'),
      })
    }
  })

  it('refuses a file of another digest, and one that is not there', async () => {
    await expect(open({ url: keyUrl, sha256: '0'.repeat(64) })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await expect(open('absent.asc')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})
