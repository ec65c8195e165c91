import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm, symlink, utimes, writeFile, chmod } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeLayerStream } from '../../layers/kinds/index.ts'
import { comparePaths } from '../../layers/paths.ts'
import { readProject } from '../../layers/project.ts'
import { memoryCache, type Cache } from '../../src/core/cache.ts'
import { silent } from '../../src/core/progress.ts'
import { filesOf, readLayer } from '../support/layer-bytes.ts'

let folder = ''
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'lw-project-')))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
}

/** When what was written now has lain untouched for a while. */
const later = (): number => Date.now() + 60_000

function watchedCache(): { readonly hashes: Cache; readonly cache: Cache; readonly kept: string[] } {
  const cache = memoryCache()
  const kept: string[] = []
  const set = (key: string, bytes: Uint8Array): Promise<void> => (kept.push(key), cache.set(key, bytes))
  return { hashes: { get: cache.get, set }, cache, kept }
}

describe('readProject()', () => {
  test('lists files by content, sorted, with plain modes', async () => {
    await write({ 'predict.py': 'x', 'lib/a.py': 'a', 'lib-b/b.py': 'b', 'run.sh': '#!/bin/sh' })
    await chmod(join(folder, 'run.sh'), 0o711)
    await chmod(join(folder, 'predict.py'), 0o600)
    const { code, weights } = await readProject(folder)
    expect(code.map(({ path }) => path)).toEqual(['lib/a.py', 'lib-b/b.py', 'predict.py', 'run.sh'])
    expect(code).toContainEqual({
      path: 'predict.py',
      sizeBytes: 1,
      mode: 0o644,
      sha256: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
    })
    expect(code).toContainEqual(expect.objectContaining({ path: 'run.sh', mode: 0o755 }))
    expect(weights).toEqual([])
  })

  test('honours .dockerignore, exceptions inside ignored folders included', async () => {
    await write({
      '.dockerignore': '*.log\nsecret\ndata\n!data/keep.txt\n',
      'a.log': '',
      'secret/key': '',
      'data/big.bin': '',
      'data/keep.txt': '',
      '.cog/tmp/x': '',
      'a.py': '',
    })
    const { code } = await readProject(folder)
    expect(code.map(({ path }) => path)).toEqual(['.dockerignore', 'a.py', 'data/keep.txt'])
  })

  test('leaves out what the caller excludes, unless .dockerignore brings it back', async () => {
    await write({ 'out/image': '', 'out2/x': '', '.dockerignore': '!out2' })
    const { code } = await readProject(folder, { exclude: ['out', 'out2'] })
    expect(code.map(({ path }) => path)).toEqual(['.dockerignore', 'out2/x'])
  })

  test('keeps empty folders and links that stay inside', async () => {
    await mkdir(join(folder, 'empty/deep'), { recursive: true })
    await write({ 'a.py': '', 'lib/b.py': '' })
    await symlink('../a.py', join(folder, 'lib/link'))
    await symlink('gone', join(folder, 'dangling'))
    expect((await readProject(folder)).code).toEqual([
      expect.objectContaining({ path: 'a.py' }),
      { path: 'dangling', link: 'gone' },
      { path: 'empty/deep', directory: true },
      expect.objectContaining({ path: 'lib/b.py' }),
      { path: 'lib/link', link: '../a.py' },
    ])
  })

  test('gives large files apart', async () => {
    await write({ 'model.bin': Buffer.alloc(2000), 'a.py': '' })
    const { code, weights } = await readProject(folder, { weightBytes: 2000 })
    expect(code.map(({ path }) => path)).toEqual(['a.py'])
    expect(weights).toEqual([expect.objectContaining({ path: 'model.bin', sizeBytes: 2000 })])
  })

  test('refuses all that cannot be packed, at once and by name', async () => {
    await write({ 'a.py': '', '.wh.gone': '' })
    await mkdir(join(folder, 'sub'))
    await symlink('/etc/passwd', join(folder, 'absolute'))
    await symlink('../../x', join(folder, 'sub/climbing'))
    await symlink('.', join(folder, 'sub/here'))
    await symlink('here/../../..', join(folder, 'sub/around'))
    execFileSync('mkfifo', [join(folder, 'pipe')])
    const server = createServer().listen(join(folder, 'sock'))
    await once(server, 'listening')
    const error = await readProject(folder).then(
      () => expect.unreachable(),
      (error: unknown) => error,
    )
    server.close()
    expect(error).toMatchObject({ code: 'PROJECT_INVALID', hint: expect.stringContaining('.dockerignore') })
    const message = String(error)
    expect(message).toContain('`absolute` is a link that leaves the project: /etc/passwd')
    expect(message).toContain('`sub/climbing` is a link that leaves the project: ../../x')
    expect(message).toContain('`sub/around` is a link that leaves')
    expect(message).toContain('`pipe` is a named pipe')
    expect(message).toContain('`sock` is a socket')
    expect(message).toContain('`.wh.gone` has a name that means "deleted"')
    expect(message).not.toContain('sub/here')
  })

  test('knows a virtual environment, and says what to do about it', async () => {
    await write({ 'a.py': '', '.venv/pyvenv.cfg': 'home = /usr/bin' })
    await mkdir(join(folder, '.venv/bin'))
    await symlink('/usr/bin/python3', join(folder, '.venv/bin/python3'))
    await expect(readProject(folder)).rejects.toMatchObject({
      code: 'PROJECT_INVALID',
      hint: expect.stringContaining('List `.venv` in .dockerignore') as string,
    })
    await write({ '.dockerignore': '.venv\n' })
    await expect(readProject(folder)).resolves.toMatchObject({ suspects: [] })
  })

  test('does not mind them where .dockerignore leaves them out', async () => {
    await write({ '.dockerignore': 'absolute\n' })
    await symlink('/etc/passwd', join(folder, 'absolute'))
    await expect(readProject(folder)).resolves.toMatchObject({ suspects: [] })
  })

  test('names files that look like secrets', async () => {
    await write({ '.env': '', 'config/.aws/credentials': '', 'deploy/id_rsa': '', 'environment.py': '', 'x.pem': '' })
    const { suspects } = await readProject(folder)
    expect(suspects).toEqual(['.env', 'config/.aws/credentials', 'deploy/id_rsa', 'x.pem'])
  })

  test('refuses the root of the machine and a folder that is not there', async () => {
    await expect(readProject('/')).rejects.toMatchObject({ code: 'PROJECT_INVALID' })
    await expect(readProject(join(folder, 'gone'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  test.each([100, 300_000])('remembers the hash of a file of %d bytes until it changes', async (sizeBytes) => {
    const { hashes, kept } = watchedCache()
    await write({ 'model.bin': Buffer.alloc(sizeBytes) })
    const options = { weightBytes: 100, hashes, now: later }
    const first = await readProject(folder, options)
    const before = kept.length
    expect(before).toBeGreaterThan(0)
    expect(await readProject(folder, options)).toEqual(first)
    expect(kept).toHaveLength(before)
    await write({ 'model.bin': Buffer.alloc(sizeBytes, 1) })
    expect((await readProject(folder, options)).weights).not.toEqual(first.weights)
  })

  test('notices a file of the same size whose time of modification was put back', async () => {
    const { hashes } = watchedCache()
    const old = new Date(1_600_000_000_000)
    const put = async (content: string): Promise<void> => {
      await write({ 'a.py': content })
      await utimes(join(folder, 'a.py'), old, old)
    }
    await put('a = 1')
    const first = await readProject(folder, { hashes, now: later })
    // The kernel's clock of files ticks every few milliseconds.
    await delay(30)
    await put('a = 2')
    expect((await readProject(folder, { hashes, now: later })).code).not.toEqual(first.code)
  })

  test('remembers nothing of files that were touched just now, whatever their time of modification says', async () => {
    const { hashes, kept } = watchedCache()
    const before = Date.now()
    await write({ 'a.py': 'a', 'model.bin': Buffer.alloc(300_000) })
    for (const name of ['a.py', 'model.bin']) await utimes(join(folder, name), 0, 0)
    await readProject(folder, { weightBytes: 1000, hashes, now: () => before })
    expect(kept).toEqual([])
  })

  test('lists in the order of paths, a folder directly before what lies in it', async () => {
    const paths = ['a!/x', 'a-b/x', 'a.txt', 'a/b/c', 'a/b-c', 'a/b.py', 'ab/x', 'b', 'é/x', 'é.py']
    await write(Object.fromEntries(paths.map((path) => [path, path])))
    await mkdir(join(folder, 'a/empty/deep'), { recursive: true })
    const { code } = await readProject(folder)
    const found = code.map(({ path }) => path)
    expect(found).toEqual([...paths, 'a/empty/deep'].toSorted(comparePaths))
  })

  test.each([0, 1, 1 << 17, (1 << 18) - 1, 1 << 18, 400_000])('hashes a file of %i bytes', async (size) => {
    const content = Buffer.alloc(size, 'content')
    await write({ before: 'x'.repeat(300), file: content, later: 'y' })
    expect((await readProject(folder)).code).toContainEqual({
      path: 'file',
      sizeBytes: size,
      mode: 0o644,
      sha256: createHash('sha256').update(content).digest('hex'),
    })
  })

  test('copes with very many files in very deep folders', async () => {
    const deep = Array.from({ length: 400 }, (_, n) => `d${n}`).join('/')
    await write({ [`${deep}/a.py`]: '' })
    await write(Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`f${n}`, ''])))
    expect((await readProject(folder)).code).toHaveLength(301)
  })
})

describe('a layer of project files', () => {
  const context = () => ({
    projectFolder: folder,
    report: silent,
    openRemote: () => Promise.reject(new Error('no network')),
  })

  test('holds them at the target, the same from any folder', async () => {
    await write({ 'predict.py': 'x', 'lib/é.py': 'a' })
    await symlink('predict.py', join(folder, 'link'))
    const { code } = await readProject(folder)
    const layer = await readLayer(
      await makeLayerStream({ kind: 'files', root: '.', target: '/src', files: code }, context()),
    )
    expect(filesOf(layer)).toEqual({ 'src/predict.py': 'x', 'src/lib/é.py': 'a' })
    expect(layer.members.find(({ name }) => name === 'src/link')).toMatchObject({
      type: 'symlink',
      target: 'predict.py',
    })
    const later = await readLayer(
      await makeLayerStream(
        { kind: 'files', root: '.', target: '/src', files: code },
        { ...context(), mtimeSeconds: 7 },
      ),
    )
    expect(new Set(later.members.map(({ mtimeSeconds }) => mtimeSeconds))).toEqual(new Set([7]))
  })

  test.each(['changed', 'x and more'])('is refused when a file changes under it: %s', async (content) => {
    await write({ 'predict.py': 'x'.repeat(7) })
    const { code } = await readProject(folder)
    await write({ 'predict.py': content })
    const stream = await makeLayerStream({ kind: 'files', root: '.', target: '/src', files: code }, context())
    await expect(readLayer(stream)).rejects.toMatchObject({
      code: 'PROJECT_INVALID',
      message: expect.stringContaining('changed while'),
    })
  })

  test.each([0, 7, 100_000])('takes what was there of a file of %i bytes that grows', async (size) => {
    const content = 'x'.repeat(size)
    await write({ 'build.log': content })
    const { code } = await readProject(folder)
    await write({ 'build.log': `${content} and more` })
    const stream = await makeLayerStream({ kind: 'files', root: '.', target: '/src', files: code }, context())
    expect(filesOf(await readLayer(stream))).toEqual({ 'src/build.log': content })
  })

  test('frames weights as they are when compressing would be in vain', async () => {
    const random = Buffer.concat(Array.from({ length: 100 }, () => crypto.getRandomValues(Buffer.alloc(1000))))
    await write({ 'random.bin': random, 'zeros.bin': Buffer.alloc(100_000) })
    const { weights } = await readProject(folder, { weightBytes: 1000 })
    const make = async (name: string) =>
      readLayer(
        await makeLayerStream(
          { kind: 'weights', root: '.', target: '/src', files: weights.filter(({ path }) => path === name) },
          context(),
        ),
      )
    const stored = await make('random.bin')
    expect(stored.blob.includes(random.subarray(0, 60_000))).toBe(true)
    expect((await make('zeros.bin')).blob.length).toBeLessThan(2000)
  })
})
