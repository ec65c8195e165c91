import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { memoryCache } from '../../src/core/cache.ts'
import { isBuildError } from '../../src/core/errors.ts'
import { makeHttp } from '../../src/core/http.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import type { IndexPlan, PackageIndex } from '../../src/python/index/client.ts'
import type { PythonLock } from '../../src/python/lock.ts'
import { parseRequirement } from '../../src/python/requirement.ts'
import type { ResolutionInput } from '../../src/python/resolution-input.ts'
import { ResolveError } from '../../src/python/resolve-error.ts'
import { resolvePython, type ResolutionContext } from '../../src/python/resolve-python.ts'
import { parseTargetPlatform } from '../../src/python/target.ts'
import { makeWheel } from './make-wheel.ts'
import { startIndex, type Behaviour, type IndexedFile, type LoopbackIndex } from './loopback-index.ts'

const http = makeHttp({ env: {}, retry: false })
const running: LoopbackIndex[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((index) => index.close()))
})

describe('resolvePython() over an index', () => {
  const files: readonly IndexedFile[] = [
    { name: 'app', version: '1.0', requires: ['lib>=1', 'extra-lib[fast]'] },
    { name: 'lib', version: '1.0' },
    { name: 'lib', version: '2.0', requiresPython: '>=3.13' },
    { name: 'lib', version: '1.5', tag: 'cp311-cp311-win_amd64' },
    { name: 'extra-lib', version: '3.0', extras: { fast: ['speed'] } },
    { name: 'speed', version: '0.1', paddingBytes: 100_000 },
  ]
  const expected = ['app==1.0', 'extra-lib==3.0', 'lib==1.0', 'speed==0.1']

  it.each([
    ['JSON with metadata files', { metadata: 'flag' }],
    ['JSON with ranges', {}],
    ['JSON that promises metadata it does not have', { metadata: 'lie' }],
    ['JSON without ranges', { ranges: false }],
    ['packed JSON', { gzip: true }],
    ['HTML with metadata files', { form: 'html', metadata: 'flag' }],
    ['HTML with ranges', { form: 'html' }],
    ['HTML without ranges', { form: 'html', ranges: false }],
  ] satisfies readonly (readonly [string, Behaviour])[])('gives the same lock from %s', async (_, behaviour) => {
    const index = await start(files, behaviour)
    const lock = await resolve(['app'], [index])
    expect(pins(lock)).toEqual(expected)
    const [app] = lock.packages
    expect(app).toMatchObject({
      requested: true,
      dependencies: ['extra-lib', 'lib'],
      filename: 'app-1.0-py3-none-any.whl',
    })
    expect(lock.packages.every(({ sha256, sizeBytes }) => /^[0-9a-f]{64}$/.test(sha256) && sizeBytes > 100)).toBe(true)
    expect(JSON.parse(JSON.stringify(lock))).toEqual(lock)
  })

  it('asks once for each page and once or twice for each wheel', async () => {
    const index = await start(files, {})
    await resolve(['app'], [index])
    const pages = index.requests.filter((request) => request.includes('/simple/'))
    const ranges = index.requests.filter((request) => request.includes('bytes='))
    expect(pages.length).toBe(4)
    // Only the METADATA of `speed` lies outside of the tail.
    expect(ranges.length).toBe(5)
    expect(index.requests.length).toBe(9)
  })

  it('refuses metadata that is not what the index promised', async () => {
    const index = await start(files, { metadata: 'wrong' })
    expect(await failure(resolve(['app'], [index]))).toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('refuses a page that is not packed as it says', async () => {
    const index = await start(files, { gzip: 'wrong' })
    expect(await failure(resolve(['app'], [index]))).toMatchObject({ code: 'INDEX_FAILED' })
  })

  it('treats a wheel whose metadata is of another package as unusable', async () => {
    const index = await start(
      [
        { name: 'a', version: '2.0', metadata: 'Metadata-Version: 2.1\nName: b\nVersion: 2.0\n\n' },
        { name: 'a', version: '1.0' },
      ],
      {},
    )
    expect(pins(await resolve(['a'], [index]))).toEqual(['a==1.0'])
    expect(await failure(resolve(['a==2.0'], [index]))).toMatchObject({
      code: 'WHEEL_NOT_FOUND',
      message: expect.stringContaining('The metadata of a-2.0-py3-none-any.whl is of b 2.0') as string,
    })
  })

  it.each([
    ['as text', {}],
    ['packed', { gzip: true }],
  ] satisfies readonly (readonly [string, Behaviour])[])(
    'answers from the cache of pages that came %s without asking, offline too, and asks again by validator',
    async (_, behaviour) => {
      const index = await start(files, { etag: true, ...behaviour })
      const cache = memoryCache()
      let now = 0
      const context = { cache, now: () => now }
      const first = await resolve(['app'], [index], {}, context)
      const asked = index.requests.length
      expect(await resolve(['app'], [index], {}, context)).toEqual(first)
      expect(await resolve(['app'], [index], {}, { ...context, isOffline: true })).toEqual(first)
      expect(index.requests.length).toBe(asked)
      now = 3_600_000
      expect(await resolve(['app'], [index], {}, context)).toEqual(first)
      expect(index.requests.length).toBe(asked + 4)
    },
  )

  it.each([
    ['as text', {}],
    ['packed', { gzip: true }],
  ] satisfies readonly (readonly [string, Behaviour])[])(
    'asks again where the cache of pages that came %s is damaged',
    async (_, behaviour) => {
      const releases = Array.from({ length: 200 }, (_, n) => ({ name: 'many', version: `${n}.0` }))
      const index = await start([...releases, ...files], { etag: true, ...behaviour })
      const memory = memoryCache()
      const keys = new Set<string>()
      const set = async (key: string, bytes: Uint8Array): Promise<void> => {
        keys.add(key)
        await memory.set(key, bytes)
      }
      const damage = async (key: string): Promise<void> => {
        const bytes = (await memory.get(key)) ?? Buffer.alloc(0)
        await memory.set(key, bytes.subarray(0, bytes.length - 10))
      }
      let now = 0
      const context = { cache: { get: memory.get, set }, now: () => now }
      const ask = (): Promise<unknown> => resolve(['app', 'many'], [index], {}, context)
      const first = await ask()
      const askedAtFirst = index.requests.length
      // The page of `many` is an entry of its own, the others lie in packs.
      expect([...keys].filter((key) => key.startsWith('index-page'))).toHaveLength(1)
      for (const nowMs of [0, 3_600_000]) {
        now = nowMs
        await Promise.all([...keys].map(damage))
        const before = index.requests.length
        expect(await ask()).toEqual(first)
        expect(index.requests.length - before).toBeGreaterThanOrEqual(askedAtFirst)
      }
      await Promise.all([...keys].map(damage))
      const offline = resolve(['app', 'many'], [index], {}, { ...context, isOffline: true })
      expect(await failure(offline)).toMatchObject({ code: 'OFFLINE' })
    },
  )

  it('says offline what the cache lacks', async () => {
    const index = await start(files, {})
    const error = await failure(resolve(['app'], [index], {}, { isOffline: true }))
    expect(error).toMatchObject({ code: 'OFFLINE', hints: [{ kind: 'offline', name: 'app' }] })
    expect(index.requests).toEqual([])
  })
})

describe('resolvePython() over several indexes', () => {
  const inner: readonly IndexedFile[] = [{ name: 'a', version: '1.0' }]
  const outer: readonly IndexedFile[] = [
    { name: 'a', version: '9.0' },
    { name: 'b', version: '1.0' },
  ]

  it('does not take from one index what another says of a wheel with the same hash', async () => {
    const honest = await start(
      [
        { name: 'lib', version: '1.0' },
        { name: 'evil', version: '1.0' },
      ],
      { metadata: 'flag' },
    )
    const sha256 = (await resolve(['lib'], [honest])).packages[0]?.sha256
    const page = JSON.stringify({
      meta: { 'api-version': '1.1' },
      files: [
        { filename: 'lib-1.0-py3-none-any.whl', url: 'lib.whl', hashes: { sha256 }, size: 1, 'core-metadata': true },
      ],
    })
    const liar = createServer((request, response) => {
      if (request.url === '/lib/') response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json').end(page)
      else if (request.url === '/lib/lib.whl.metadata')
        response.end('Metadata-Version: 2.1\nName: lib\nVersion: 1.0\nRequires-Dist: evil\n')
      else response.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(liar, 'listening')
    try {
      const cache = memoryCache()
      const url = `http://127.0.0.1:${(liar.address() as AddressInfo).port}/`
      const lied = await resolve(['lib'], [{ url }, honest], {}, { cache })
      expect(pins(lied)).toEqual(['evil==1.0', 'lib==1.0'])
      expect(pins(await resolve(['lib'], [honest], {}, { cache }))).toEqual(['lib==1.0'])
    } finally {
      liar.close()
    }
  })

  it('takes a package from the first index that has it', async () => {
    const lock = await resolve(['a', 'b'], [await start(inner), await start(outer)])
    expect(pins(lock)).toEqual(['a==1.0', 'b==1.0'])
  })

  it('compares all indexes when told to', async () => {
    const lock = await resolve(['a'], [await start(inner), await start(outer)], { strategy: 'unsafe-best-match' })
    expect(pins(lock)).toEqual(['a==9.0'])
  })

  it('names the indexes it did not ask', async () => {
    const [first, second] = [await start(inner), await start(outer)]
    const error = await failure(resolve(['a>=2'], [first, second]))
    expect(error).toMatchObject({
      code: 'RESOLVE_CONFLICT',
      hint: expect.stringContaining('unsafe-best-match') as string,
      hints: [{ kind: 'unasked-index', name: 'a', asked: first.url, unasked: [second.url] }],
    })
  })

  it('asks only the pinned index for a pinned package', async () => {
    const [first, second] = [await start(inner), await start(outer)]
    const lock = await resolve(['a'], [first, second], { pins: { a: second.url } })
    expect(pins(lock)).toEqual(['a==9.0'])
    expect(first.requests).toEqual([])
  })

  it('stops at an index that refuses access, and says so', async () => {
    const [first, second] = [await start(inner, { credentials: 'user:secret' }), await start(outer)]
    const error = await failure(resolve(['a'], [first, second]))
    expect(error).toMatchObject({
      code: 'INDEX_DENIED',
      hints: [{ kind: 'index-denied', name: 'a', index: first.url }],
      sentences: ['You require `a`, which no index shows.'],
    })
    expect(second.requests).toEqual([])
  })

  it('sends the headers it is given', async () => {
    const index = await start(inner, { credentials: 'user:secret' })
    const authorization = `Basic ${Buffer.from('user:secret').toString('base64')}`
    const lock = await resolve(['a'], [index], {}, { headers: async () => ({ authorization }) })
    expect(pins(lock)).toEqual(['a==1.0'])
  })

  it('names the package, and the setting that leads to an index which does not answer', async () => {
    const index = await start([{ name: 'a', version: '1' }], {})
    const gone = await start([], {})
    await gone.close()
    expect(await failure(resolve(['a'], [index, gone], { pins: { a: gone.url } }))).toMatchObject({
      code: 'NETWORK_FAILED',
      message: expect.stringMatching(/^Cannot look for `a`: No answer from /) as string,
      hint: expect.stringMatching(/Is the server running[^]*`build.python_index.packages`: `a: URL`/) as string,
      data: { package: 'a', index: gone.url },
    })
    expect(await failure(resolve(['a'], [gone, index]))).toMatchObject({
      hint: expect.stringContaining('`extra_urls`') as string,
    })
  })

  it('fails for now when an index is broken', async () => {
    const index = await start(inner, { pageStatus: 503 })
    expect(await failure(resolve(['a'], [index]))).toMatchObject({ code: 'INDEX_UNAVAILABLE' })
  })
})

describe('resolvePython() rules', () => {
  const files: readonly IndexedFile[] = [
    { name: 'a', version: '1.0', uploadTime: '2024-01-01T00:00:00Z' },
    { name: 'a', version: '2.0', uploadTime: '2025-01-01T00:00:00Z' },
    { name: 'a', version: '3.0', uploadTime: '2025-06-01T00:00:00Z', yanked: 'broken' },
    { name: 'b', version: '1.0', requires: ['a>=2'], uploadTime: '2024-01-01T00:00:00Z' },
    { name: 'c', version: '1.0', sdist: true },
    { name: 'd', version: '1.0', requires: ['d[x]'], extras: { x: ['a<2'] } },
  ]

  it.each([
    ['excludes newer files', ['a'], { excludeNewer: '2025-01-01T00:00:00Z' }, ['a==1.0']],
    ['narrows by constraints', ['a'], { constraints: ['a<2', 'unknown<1'] }, ['a==1.0']],
    ['replaces by overrides', ['b'], { overrides: ['a==1.0'] }, ['a==1.0', 'b==1.0']],
    ['takes a yanked release when pinned', ['a==3.0'], {}, ['a==3.0']],
    ['never takes one otherwise', ['a'], {}, ['a==2.0']],
    ['follows an extra of the package itself', ['d'], {}, ['a==1.0', 'd==1.0']],
  ] as const)('%s', async (_, requirements, extra, expected) => {
    expect(pins(await resolve(requirements, [await start(files)], extra))).toEqual(expected)
  })

  it('records why a locked release was yanked', async () => {
    const lock = await resolve(['a==3.0'], [await start(files)])
    expect(lock.packages[0]).toMatchObject({ yanked: 'broken', uploadTime: '2025-06-01T00:00:00Z' })
  })

  it.each([
    ['a source distribution', ['c'], {}, 'WHEEL_NOT_FOUND', { kind: 'source-only', name: 'c', versions: ['1.0'] }],
    [
      'a yanked release',
      ['a>=3'],
      {},
      'WHEEL_NOT_FOUND',
      { kind: 'yanked', name: 'a', versions: ['3.0'], reason: 'broken' },
    ],
    [
      'a file that is too new',
      ['a==2.0'],
      { excludeNewer: '2024-06-01' },
      'WHEEL_NOT_FOUND',
      { kind: 'exclude-newer', name: 'a', versions: ['2.0'], excludeNewer: '2024-06-01' },
    ],
  ] as const)('explains %s', async (_, requirements, extra, code, hint) => {
    expect(await failure(resolve(requirements, [await start(files)], extra))).toMatchObject({ code, hints: [hint] })
  })

  it('warns of an extra that does not exist and of a yanked release', async () => {
    const index = await start(files)
    const notes: string[] = []
    const report = (event: ProgressEvent): void => void (event.type === 'note' && notes.push(event.text))
    await resolve(['a[none]==3.0'], [index], {}, { report })
    expect(notes).toEqual([
      '`a` 3.0 was yanked by its authors: broken',
      '`a` 3.0 has no extra `none`; nothing is added for it',
    ])
  })

  it('names the tags that a wheel does have', async () => {
    const index = await start([{ name: 'w', version: '1.0', tag: 'cp311-cp311-win_amd64' }])
    const error = await failure(resolve(['w'], [index]))
    expect(error).toMatchObject({
      code: 'WHEEL_NOT_FOUND',
      message: expect.stringContaining('has no wheel for Python 3.11 on x86_64 with glibc 2.28') as string,
      hints: [{ kind: 'wheel-tags', name: 'w', version: '1.0', mismatch: 'platform', available: ['win_amd64'] }],
    })
  })

  it('takes only files with a stated hash once any is stated', async () => {
    const index = await start(files)
    const plain = await resolve(['a==1.0'], [index])
    const hash = `sha256:${plain.packages[0]?.sha256}`
    const stated = (hashes: readonly string[]): ResolutionInput['requirements'] => [
      { requirement: parseRequirement('a'), hashes },
    ]
    expect(pins(await resolveInput(stated([hash]), [index]))).toEqual(['a==1.0'])
    expect(await failure(resolveInput(stated([`sha256:${'0'.repeat(64)}`]), [index]))).toMatchObject({
      code: 'WHEEL_NOT_FOUND',
    })
  })

  it('names a place of links that is not there, and one that refuses', async () => {
    const nowhere = { url: 'file:///nowhere/wheels/', kind: 'flat' } as const
    expect(await failure(resolve(['a'], [nowhere]))).toMatchObject({
      code: 'PACKAGE_NOT_FOUND',
      hint: expect.stringContaining('There is nothing at file:///nowhere/wheels/') as string,
    })
    const refusing = { url: (await start(files, { credentials: 'me:word' })).url, kind: 'flat' } as const
    expect(await failure(resolve(['a'], [refusing]))).toMatchObject({
      code: 'INDEX_DENIED',
      hints: [{ kind: 'index-denied', name: 'a', index: refusing.url }],
    })
    // The others are asked all the same.
    expect(pins(await resolve(['a==1.0'], [nowhere, await start(files)]))).toEqual(['a==1.0'])
  })

  it('proves by the file itself what the index does not tell', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wheels-'))
    const bytes = makeWheel({ name: 'a', version: '1.0' })
    const path = join(folder, 'a-1.0-py3-none-any.whl')
    const stated = (...hashes: string[]): ResolutionInput['requirements'] => [
      { requirement: parseRequirement('a'), hashes },
    ]
    const hashOf = (algorithm: string): string => `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
    const wrong = `sha256:${'0'.repeat(64)}`
    try {
      await writeFile(path, bytes)
      // A folder of wheels says no hashes, and an index seldom sha512.
      const local = { url: pathToFileURL(`${folder}/`).href, kind: 'flat' } as const
      const remote = await start([{ name: 'a', version: '1.0' }])
      for (const hash of [hashOf('sha256'), hashOf('sha512')]) {
        for (const [place, hashes] of [
          [local, [wrong, hash]],
          [remote, [hash]],
        ] as const) {
          const lock = await resolveInput(stated(...hashes), [place])
          expect(lock.packages).toMatchObject([{ version: '1.0', sha256: hashOf('sha256').slice(7) }])
        }
      }
      expect(await failure(resolveInput(stated(wrong), [local]))).toMatchObject({
        code: 'DIGEST_MISMATCH',
        data: { expected: [wrong], actual: [hashOf('sha256')] },
      })
      expect(await failure(resolveInput(stated(`sha384:${'0'.repeat(96)}`), [remote]))).toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('holds a wheel that is named by its address to any of its hashes, and to that of the address', async () => {
    const index = await start(files)
    const url = index.url.replace('/simple/', '/files/a-1.0-py3-none-any.whl')
    const hash = `sha256:${(await resolve(['a==1.0'], [index])).packages[0]?.sha256}`
    const wrong = `sha256:${'0'.repeat(64)}`
    const named = (fragment: string, ...hashes: string[]): Promise<PythonLock> =>
      resolveInput([{ requirement: parseRequirement(`a @ ${url}${fragment}`), hashes }], [index])
    expect(await named('', wrong, hash)).toMatchObject({ packages: [{ sha256: hash.slice(7) }] })
    expect(await named(`#${hash.replace(':', '=')}`)).toMatchObject({ packages: [{ sha256: hash.slice(7) }] })
    expect(await failure(named('', `sha512:${'0'.repeat(128)}`))).toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await failure(named('', wrong, `sha256:${'1'.repeat(64)}`))).toMatchObject({ code: 'WHEEL_NOT_FOUND' })
  })

  it('says of a source that its hash is what is missing', async () => {
    const index = await start([{ name: 'c', version: '1.0', sdist: true }])
    const hashes = [`sha256:${'0'.repeat(64)}`]
    expect(await failure(resolveInput([{ requirement: parseRequirement('c'), hashes }], [index]))).toMatchObject({
      message: expect.stringContaining('has only source files, none with a stated hash') as string,
      hints: [{ kind: 'source-only', isUnproven: true }],
    })
  })

  it('says which package lacks a hash where others state one', async () => {
    const index = await start(files)
    const wrong = [{ requirement: parseRequirement('d'), hashes: [`sha256:${'0'.repeat(64)}`] }]
    expect(await failure(resolveInput(wrong, [index]))).toMatchObject({
      hints: expect.arrayContaining([
        expect.objectContaining({ kind: 'hashes', name: 'd', isStated: true }),
      ]) as unknown,
    })
    const requirements = [
      { requirement: parseRequirement('a'), hashes: [`sha256:${'0'.repeat(64)}`] },
      { requirement: parseRequirement('d') },
    ]
    expect(await failure(resolveInput(requirements.toReversed(), [index]))).toMatchObject({
      code: 'WHEEL_NOT_FOUND',
      message: expect.stringContaining('has no hash stated for it') as string,
      hints: expect.arrayContaining([
        expect.objectContaining({ kind: 'hashes', name: 'd', isStated: false }),
      ]) as unknown,
    })
  })

  it('takes a wheel by its address, hashing it once', async () => {
    const index = await start(files)
    const url = index.url.replace('/simple/', '/files/a-1.0-py3-none-any.whl')
    const lock = await resolve([`a @ ${url}`], [index])
    expect(lock.packages[0]).toMatchObject({ name: 'a', version: '1.0', url, requested: true })
    expect(lock.packages[0]?.index).toBeUndefined()
    expect(lock.packages[0]?.sha256).toBe((await resolve(['a==1.0'], [index])).packages[0]?.sha256)
  })

  it.each([
    ['a @ https://example.org/a-1.0.tar.gz', 'NOT_SUPPORTED'],
    ['a @ git+https://example.org/a.git', 'NOT_SUPPORTED'],
    ['a @ https://example.org/b-1.0-py3-none-any.whl', 'REQUIREMENT_INVALID'],
  ])('refuses %s', async (requirement, code) => {
    expect(await failure(resolve([requirement], []))).toMatchObject({ code })
  })

  it('gives the same lock whatever order the requirements have', async () => {
    const index = await start(files)
    expect(await resolve(['b', 'd', 'a'], [index]).catch(codeOf)).toEqual(
      await resolve(['a', 'd', 'b'], [index]).catch(codeOf),
    )
  })
})

describe('ResolveError tells in sentences', () => {
  it('a conflict of two requirements', async () => {
    const index = await start([
      { name: 'torch', version: '2.0.1' },
      { name: 'torch', version: '2.1.0' },
      { name: 'torchvision', version: '0.16.0', requires: ['torch==2.1.0'] },
    ])
    const error = await failure(resolve(['torch==2.0.1', 'torchvision==0.16.0'], [index]))
    expect(error).toBeInstanceOf(ResolveError)
    expect((error as ResolveError).sentences).toEqual([
      'Because `torchvision==0.16.0` depends on `torch==2.1.0` and you require `torch==2.0.1`, we can conclude that your requirements and `torchvision==0.16.0` are incompatible.',
      'And because you require `torchvision==0.16.0`, we can conclude that your requirements are unsatisfiable.',
    ])
  })

  it('a misspelt package, with the one that was meant', async () => {
    const index = await start([{ name: 'a', version: '1.0' }])
    const error = (await failure(resolve(['a', 'sklearn'], [index]))) as ResolveError
    expect(error.hints).toEqual([{ kind: 'similar-name', name: 'sklearn', meant: 'scikit-learn' }])
    expect(error.hint).toBe('Did you mean `scikit-learn` instead of `sklearn`?')
  })

  it('every package that no index has, and what was meant by each', async () => {
    const index = await start([{ name: 'a', version: '1.0' }])
    const error = (await failure(resolve(['nowhere>=2', 'a', 'sklearn', 'gone'], [index]))) as ResolveError
    expect(error.code).toBe('PACKAGE_NOT_FOUND')
    for (const text of ['nowhere>=2', 'sklearn', 'gone'])
      expect(error.sentences.filter((sentence) => sentence.includes(`\`${text}\`, which no index has`))).toHaveLength(1)
    expect(error.hints).toEqual([{ kind: 'similar-name', name: 'sklearn', meant: 'scikit-learn' }])
  })

  it('a package that no index has, and one without such a version', async () => {
    const index = await start([{ name: 'a', version: '1.0', requires: ['gone'] }])
    const missing = (await failure(resolve(['a'], [index]))) as ResolveError
    expect(missing.code).toBe('PACKAGE_NOT_FOUND')
    expect(missing.sentences.join(' ')).toContain('depends on `gone`, which no index has')
    const range = (await failure(resolve(['a>2'], [index]))) as ResolveError
    expect(range.sentences).toEqual(['You require `a>2`, of which no version exists (there is 1.0).'])
  })
})

async function start(files: readonly IndexedFile[], behaviour: Behaviour = {}): Promise<LoopbackIndex> {
  const index = await startIndex(files, behaviour)
  running.push(index)
  return index
}

interface Extra {
  readonly excludeNewer?: string
  readonly constraints?: readonly string[]
  readonly overrides?: readonly string[]
  readonly strategy?: IndexPlan['strategy']
  readonly pins?: IndexPlan['pins']
}

function resolve(
  requirements: readonly string[],
  indexes: readonly Pick<PackageIndex, 'url' | 'kind'>[],
  extra: Extra = {},
  context: Partial<ResolutionContext> = {},
): Promise<PythonLock> {
  return resolveInput(
    requirements.map((text) => ({ requirement: parseRequirement(text) })),
    indexes,
    extra,
    context,
  )
}

function resolveInput(
  requirements: ResolutionInput['requirements'],
  indexes: readonly Pick<PackageIndex, 'url' | 'kind'>[],
  { strategy = 'first-index', pins: pinned = {}, constraints = [], overrides = [], ...rest }: Extra = {},
  context: Partial<ResolutionContext> = {},
): Promise<PythonLock> {
  const input = {
    target: { pythonVersion: '3.11', ...parseTargetPlatform('x86_64-manylinux_2_28') },
    requirements,
    constraints: constraints.map((text) => ({ requirement: parseRequirement(text) })),
    overrides: overrides.map((text) => parseRequirement(text)),
    indexes: { indexes: indexes.map(({ url, kind = 'simple' }) => ({ url, kind })), strategy, pins: pinned },
    ...rest,
  }
  return resolvePython(input, { http, ...context })
}

function pins(lock: PythonLock): readonly string[] {
  return lock.packages.map(({ name, version }) => `${name}==${version}`)
}

function failure(lock: Promise<PythonLock>): Promise<unknown> {
  return lock.then(
    () => expect.unreachable('it should fail'),
    (error: unknown) => error,
  )
}

function codeOf(error: unknown): unknown {
  return isBuildError(error) ? error.code : error
}
