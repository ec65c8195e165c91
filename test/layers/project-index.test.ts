import { chmod, mkdir, mkdtemp, realpath, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatIndex, HASH_BYTES, isSameStamp, KIND, parseIndex, writeStamp } from '../../layers/project-index.ts'
import { lookAtProject, readProject, type ProjectLook, type ReadProject } from '../../layers/project.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { digestOf } from '../../src/core/digest.ts'

let folder = ''
let cache = memoryCache()
/** The key under which the folder is remembered. */
let key: string | undefined
/** Milliseconds since the epoch: before anything was written. */
let born = 0
beforeEach(async () => {
  born = Date.now()
  folder = await realpath(await mkdtemp(join(tmpdir(), 'lw-index-')))
  cache = memoryCache()
  key = undefined
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

interface Looked {
  readonly content: ProjectLook['content']
  readonly project: () => ReadProject
}

/** Looks as a build does; `isFresh` when what was touched now would not be believed, however long the test takes. */
async function look({ isFresh = false } = {}): Promise<Looked> {
  const hashes = {
    get: cache.get,
    set: (name: string, bytes: Uint8Array) => {
      if (name.startsWith('project ')) key = name
      return cache.set(name, bytes)
    },
  }
  const { content, project } = await lookAtProject(folder, { hashes, now: isFresh ? () => born : later })
  return { content, project: () => ({ ...project(), code: [...project().code] }) }
}

/** Puts another hash in the place of every file's, so that it shows whether the index is believed. */
async function forge(): Promise<void> {
  const index = parseIndex(await cache.get(key ?? ''))
  if (index === undefined || key === undefined) throw new Error('Nothing is remembered')
  const folders = [...index.folders.values()].map((one) => ({ ...one, hashes: one.hashes.map(() => 0xff) }))
  await cache.set(key, formatIndex(folders, index.content))
}

const FORGED = 'f'.repeat(64)

/** The paths whose hashes were taken from the index after {@link forge}. */
function believed({ code }: ReadProject): string[] {
  return code.flatMap((file) => ('sha256' in file && file.sha256 === FORGED ? [file.path] : []))
}

const FILES = { 'a.py': 'a', 'b.py': 'b', 'lib/c.py': 'c' }

describe('lookAtProject() with what it remembers', () => {
  test('reads nothing again that lay untouched, and says the same of it', async () => {
    await write(FILES)
    const first = await look()
    const again = await look()
    expect(again.content).toBe(first.content)
    expect(again.project()).toEqual(await readProject(folder))
    await forge()
    expect(believed((await look()).project())).toEqual(['a.py', 'b.py', 'lib/c.py'])
  })

  test('says another content for a look without memory of other files only', async () => {
    await write(FILES)
    const { content } = await lookAtProject(folder)
    expect((await look()).content).toBe(content)
    await write({ 'b.py': 'B' })
    expect((await lookAtProject(folder)).content).not.toBe(content)
  })

  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30))
  const OLD = new Date(1_600_000_000_000)
  const changes: Readonly<Record<string, () => Promise<void>>> = {
    'a file of the same size, its time of modification put back': async () => {
      await wait()
      await writeFile(join(folder, 'a.py'), 'A')
      await utimes(join(folder, 'a.py'), OLD, OLD)
    },
    'a file replaced by a rename, same size and times': async () => {
      await write({ 'elsewhere/a.py': 'A' })
      await utimes(join(folder, 'elsewhere/a.py'), OLD, OLD)
      await rename(join(folder, 'elsewhere/a.py'), join(folder, 'a.py'))
      await rm(join(folder, 'elsewhere'), { recursive: true })
    },
    'a mode': async () => {
      await wait()
      await chmod(join(folder, 'a.py'), 0o755)
    },
    'where a link leads': async () => {
      await unlink(join(folder, 'link'))
      await symlink('b.py', join(folder, 'link'))
    },
    'a link in the place of a file': async () => {
      await unlink(join(folder, 'a.py'))
      await symlink('b.py', join(folder, 'a.py'))
    },
    'a new file': () => write({ 'lib/new.py': '' }),
    'a file that is gone': () => unlink(join(folder, 'lib/c.py')),
    'a file under another name': () => rename(join(folder, 'a.py'), join(folder, 'z.py')),
    'a folder in the place of a file': async () => {
      await unlink(join(folder, 'a.py'))
      await write({ 'a.py/x': 'x' })
    },
    'an empty folder': async () => void (await mkdir(join(folder, 'empty'))),
    'another rule': () => write({ '.dockerignore': 'nothing\nlib\n' }),
  }

  test.each(Object.keys(changes))('notices %s', async (name) => {
    await write({ ...FILES, '.dockerignore': 'nothing\n' })
    await symlink('a.py', join(folder, 'link'))
    await utimes(join(folder, 'a.py'), OLD, OLD)
    const before = await look()
    await changes[name]?.()
    const after = await look()
    expect(after.content).not.toBe(before.content)
    expect(after.project()).toEqual(await readProject(folder))
    // And once more, from what was remembered of the change.
    expect((await look()).content).toBe(after.content)
    expect((await look()).project()).toEqual(after.project())
  })

  test('reads but what was touched, and takes the rest as it is remembered', async () => {
    await write({ ...FILES, 'data/.keep': '' })
    await look()
    await forge()
    await wait()
    await write({ 'b.py': 'B', 'lib/new.py': '' })
    expect(believed((await look()).project())).toEqual(['a.py', 'data/.keep', 'lib/c.py'])
  })
  test('remembers no file whose times are as young as the look: it could be written again within the same tick', async () => {
    await write(FILES)
    const first = await look({ isFresh: true })
    expect(key).toBeUndefined()
    // The same size, the same inode, and perhaps the same times.
    await writeFile(join(folder, 'a.py'), 'A')
    expect((await look({ isFresh: true })).content).not.toBe(first.content)
  })

  test('reads a file again that was young when the rest was remembered', async () => {
    await write(FILES)
    const now = Date.now()
    await utimes(join(folder, 'b.py'), new Date(now + 120_000), new Date(now + 120_000))
    await look()
    await forge()
    expect(believed((await look()).project())).toEqual(['a.py', 'lib/c.py'])
  })

  test('follows a link anew each time: where it leads may become another place with nothing touched here', async () => {
    const outside = await realpath(await mkdtemp(join(tmpdir(), 'lw-outside-')))
    try {
      await write({ 'in/x': '', '.dockerignore': 'way\n' })
      await writeFile(join(outside, 'x'), '')
      await symlink(join(folder, 'in'), join(outside, 'door'))
      await symlink(join(outside, 'door'), join(folder, 'way'))
      await symlink('way/x', join(folder, 'link'))
      expect((await look()).project().code).toContainEqual({ path: 'link', link: 'way/x' })
      await unlink(join(outside, 'door'))
      await symlink(outside, join(outside, 'door'))
      await expect(look()).rejects.toMatchObject({ code: 'PROJECT_INVALID' })
    } finally {
      await rm(outside, { recursive: true })
    }
  })

  test.each([
    ['cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 7)],
    ['cut to its head', (bytes: Buffer) => bytes.subarray(0, 100)],
    ['empty', () => Buffer.alloc(0)],
    ['of another form', () => Buffer.from('[["half')],
    ['with a bit turned', (bytes: Buffer) => (bytes.writeUInt8((bytes[600] ?? 0) ^ 1, 600), bytes)],
  ])('throws away an index that is %s', async (_, damage) => {
    await write(FILES)
    const { content } = await look()
    await forge()
    const bytes = await cache.get(key ?? '')
    await cache.set(key ?? '', damage(Buffer.from(bytes ?? '')))
    const found = await look()
    expect(believed(found.project())).toEqual([])
    expect(found.content).toBe(content)
  })
})

test('an index is read as it was written, from any place in memory', () => {
  const stamp = new Float64Array([1, 2.5, 3.25, 2 ** 53, 5, 6])
  const root = { stamp, names: ['é.py', 'lib'], kinds: Uint8Array.of(KIND.file, KIND.folder) }
  const folders = [
    { ...root, path: '', stamps: new Float64Array(12).fill(7), hashes: new Uint8Array(2 * HASH_BYTES).fill(8) },
    { path: 'lib', stamp, names: [], kinds: new Uint8Array(), stamps: new Float64Array(), hashes: new Uint8Array() },
  ]
  const content = digestOf('content')
  const bytes = formatIndex(folders, content)
  const moved = Buffer.concat([Buffer.alloc(3), bytes]).subarray(3)
  const index = parseIndex(moved)
  expect(index?.content).toBe(content)
  expect([...(index?.folders.values() ?? [])]).toEqual(folders)
})

test('a stamp of what was touched just now equals none, not even itself', () => {
  const stats = { size: 1, mtimeMs: 1000, ctimeMs: 1000, ino: 1, dev: 1, mode: 0o100644 }
  const [young, old] = [new Float64Array(6), new Float64Array(6)]
  writeStamp(young, 0, stats, 2000)
  writeStamp(old, 0, stats, 60_000)
  expect(isSameStamp(young, young)).toBe(false)
  expect(isSameStamp(old, old)).toBe(true)
})
