import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeSourceReader } from '../../../src/build/source/reader.ts'
import { resolveBuildRequirements } from '../../../src/build/source/requirements.ts'
import type { LockedWheel } from '../../../src/python/lock.ts'
import type { SourceSite } from '../../../src/resolve/context.ts'
import { startIndex, type IndexedFile, type LoopbackIndex } from '../../python/loopback-index.ts'
import { offlineSourceContext } from '../../support/source-context.ts'

let folder: string
let index: LoopbackIndex | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'source-reader-'))
})
afterEach(async () => {
  await index?.close()
  await rm(folder, { recursive: true, force: true })
})

/** A source whose metadata stands in it for good, so that nothing has to run. */
function source(name: string, version: string, requires: readonly string[]): IndexedFile {
  const metadata = `Metadata-Version: 2.2\nName: ${name}\nVersion: ${version}\n`
  const system = `[build-system]\nrequires = ${JSON.stringify(requires)}\nbuild-backend = "some"\n`
  return { name, version, sdist: { 'PKG-INFO': metadata, 'pyproject.toml': system } }
}

async function resolve(files: readonly IndexedFile[], wanted: string): Promise<readonly LockedWheel[]> {
  index = await startIndex(files)
  const context = await offlineSourceContext(folder)
  const settings = {
    plan: { indexes: [{ url: index.url }], strategy: 'first-index', pins: {} },
    headers: async () => ({}),
  } as unknown as SourceSite['settings']
  const site: SourceSite = {
    platform: { os: 'linux', architecture: 'amd64' },
    interpreter: { kind: 'base', version: '3.11.2', executable: '/usr/bin/python3' },
    libc: { kind: 'glibc', major: 2, minor: 36 },
    settings,
    systemPackages: [],
    base: () => Promise.reject(new Error('Nothing has to run')),
  }
  const target = { pythonVersion: '3.11.2', platform: site.platform, libc: site.libc }
  return resolveBuildRequirements(
    [wanted],
    'the-project',
    { target, settings },
    context,
    makeSourceReader(site, context),
  )
}

describe('makeSourceReader()', () => {
  test('locks what the build of a build requirement requires, down to wheels', async () => {
    const files = [source('aaa', '1', ['bbb>1']), source('bbb', '2', ['ccc']), { name: 'ccc', version: '3' }]
    expect(await resolve(files, 'aaa')).toMatchObject([
      {
        filename: 'aaa-1.tar.gz',
        source: {
          buildRequires: [{ filename: 'bbb-2.tar.gz', source: { buildRequires: [{ name: 'ccc', version: '3' }] } }],
        },
      },
    ])
  })

  test('takes a wheel before a newer source', async () => {
    const files = [source('aaa', '1', ['bbb']), source('bbb', '2', ['aaa']), { name: 'bbb', version: '1' }]
    expect(await resolve(files, 'aaa')).toMatchObject([{ source: { buildRequires: [{ name: 'bbb', version: '1' }] } }])
  })

  test.each([
    ['two', [source('aaa', '1', ['bbb']), source('bbb', '2', ['aaa'])], 'aaa-1 -> bbb-2 -> aaa-1'],
    ['one', [source('aaa', '1', ['aaa'])], 'aaa-1 -> aaa-1'],
  ])('tells of %s that require each other', async (_count, files, path) => {
    await expect(resolve(files, 'aaa')).rejects.toMatchObject({
      code: 'RESOLVE_CONFLICT',
      message: expect.stringContaining(`These builds require each other, and none has a wheel: ${path}`) as string,
      hint: expect.stringContaining('PIP_BUILD_CONSTRAINT') as string,
    })
  })

  test('gives up where builds wait for each other without an end', async () => {
    const files = Array.from({ length: 12 }, (_, at) => source(`p${at}`, '1', [`p${at + 1}`]))
    await expect(resolve(files, 'p0')).rejects.toMatchObject({
      message: expect.stringContaining('Too many builds wait for each other: p0-1 -> p1-1') as string,
    })
  })
})
