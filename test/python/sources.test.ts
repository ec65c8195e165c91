import { afterEach, describe, expect, it } from 'vitest'
import { BuildError } from '../../src/core/errors.ts'
import { makeHttp } from '../../src/core/http.ts'
import { parseRequirement } from '../../src/python/requirement.ts'
import type { ResolutionInput } from '../../src/python/resolution-input.ts'
import { resolvePython } from '../../src/python/resolve-python.ts'
import type { DescribedSource, SourceReader } from '../../src/python/source-package.ts'
import { parseTargetPlatform } from '../../src/python/target.ts'
import { startIndex, type IndexedFile, type LoopbackIndex } from './loopback-index.ts'

const http = makeHttp({ env: {}, retry: false })
const running: LoopbackIndex[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((index) => index.close()))
})

const files: readonly IndexedFile[] = [
  { name: 'mixed', version: '1.0' },
  { name: 'mixed', version: '2.0', sdist: true },
  { name: 'bare', version: '0.9', sdist: true },
  { name: 'bare', version: '1.0', sdist: true, requiresPython: '>=3.13' },
  { name: 'needy', version: '3.0', sdist: true },
  { name: 'lib', version: '1.0' },
  { name: 'outer', version: '1.0', requires: ['inner'] },
  { name: 'inner', version: '1.0', requires: ['needy'] },
]

/** Describes every source as requiring `lib`, and remembers what it was asked. */
function reader(asked: string[] = []): SourceReader {
  const describeAs = (name: string, version: string, url: string): DescribedSource => ({
    metadata: `Metadata-Version: 2.2\nName: ${name}\nVersion: ${version}\nRequires-Dist: lib\n`,
    file: { filename: `${name}-${version}.tar.gz`, url, sha256: 'a'.repeat(64), sizeBytes: 7 },
    source: { place: { kind: 'archive' }, buildRequires: [] },
  })
  return {
    listed: async ({ filename, url }) => {
      asked.push(filename)
      const [, name = '', version = ''] = /^(.+)-([^-]+)\.tar\.gz$/.exec(filename) ?? []
      return describeAs(name, version, url)
    },
    named: async (location) => {
      asked.push(location)
      return describeAs('named', '5.0', location)
    },
  }
}

async function resolve(
  texts: readonly string[],
  sources: SourceReader | undefined,
  extra: Partial<ResolutionInput> = {},
): ReturnType<typeof resolvePython> {
  const index = await startIndex(files)
  running.push(index)
  return resolvePython(
    {
      target: { pythonVersion: '3.11', ...parseTargetPlatform('x86_64-manylinux_2_28') },
      requirements: texts.map((text) => ({ requirement: parseRequirement(text) })),
      indexes: { indexes: [{ url: index.url }], strategy: 'first-index', pins: {} },
      ...extra,
    },
    { http, sources },
  )
}

const pins = (lock: Awaited<ReturnType<typeof resolvePython>>): string[] =>
  lock.packages.map(({ name, version, source }) => `${name}==${version}${source === undefined ? '' : ' (source)'}`)

describe('resolvePython() with a reader of sources', () => {
  it('prefers a wheel to a newer source', async () => {
    const asked: string[] = []
    expect(pins(await resolve(['mixed'], reader(asked)))).toEqual(['mixed==1.0'])
    expect(asked).toEqual([])
  })

  it('takes the newest source whose Python fits where there is no wheel, and what it requires', async () => {
    const asked: string[] = []
    expect(pins(await resolve(['bare'], reader(asked)))).toEqual(['bare==0.9 (source)', 'lib==1.0'])
    expect(asked).toEqual(['bare-0.9.tar.gz'])
  })

  it('says by whom a package is required whose source cannot be built', async () => {
    const failing: SourceReader = {
      ...reader(),
      listed: () =>
        Promise.reject(new BuildError('RUN_FAILED', '`needy-3.0` could not be built', { hint: 'Mend it.' })),
    }
    await expect(resolve(['outer'], failing)).rejects.toMatchObject({
      message: '`needy-3.0` could not be built\n  `needy` is required by `inner`, required by `outer`',
      hint: 'Mend it.',
      data: { requiredBy: ['inner', 'outer'] },
    })
    await expect(resolve(['needy'], failing)).rejects.toMatchObject({ message: '`needy-3.0` could not be built' })
  })

  it('takes a source that was pinned, and one whose wheels are refused', async () => {
    expect(pins(await resolve(['mixed==2.0'], reader()))).toEqual(['lib==1.0', 'mixed==2.0 (source)'])
    const lock = await resolve(['mixed'], reader(), { noBinary: ['mixed'] })
    expect(pins(lock)).toEqual(['lib==1.0', 'mixed==2.0 (source)'])
  })

  it('locks file and place of a source', async () => {
    const lock = await resolve(['needy'], reader())
    expect(lock.packages.find(({ name }) => name === 'needy')).toMatchObject({
      filename: 'needy-3.0.tar.gz',
      sha256: 'a'.repeat(64),
      sizeBytes: 7,
      dependencies: ['lib'],
      source: { place: { kind: 'archive' } },
    })
  })

  it.each(['https://example.org/named.zip', 'git+https://example.org/named.git@v5', 'file:///nowhere/named'])(
    'asks for a source by its address: %s',
    async (location) => {
      const asked: string[] = []
      expect(pins(await resolve([`named @ ${location}`], reader(asked)))).toEqual(['lib==1.0', 'named==5.0 (source)'])
      expect(asked).toEqual([location])
    },
  )

  it('refuses a source of another package', async () => {
    await expect(resolve(['other @ git+https://example.org/x.git'], reader())).rejects.toMatchObject({
      code: 'REQUIREMENT_INVALID',
    })
  })

  it.each([
    ['without a reader', undefined, {}],
    ['with --only-binary', reader(), { onlyBinary: [':all:'] }],
    ['with --only-binary for the package', reader(), { onlyBinary: ['bare'] }],
  ] as const)('refuses sources %s', async (_, sources, extra) => {
    await expect(resolve(['bare'], sources, extra)).rejects.toMatchObject({
      code: 'WHEEL_NOT_FOUND',
      hints: [{ kind: 'source-only', name: 'bare' }],
    })
  })
})
