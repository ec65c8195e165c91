import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { holdStore } from '../../src/store/lease.ts'
import { pruneStore } from '../../src/store/prune.ts'
import { listStepCaches, removeStepCache, withStepCache, type StepCache } from '../../src/store/step-caches.ts'
import { Store } from '../../src/store/store.ts'

const DAY_MS = 24 * 60 * 60 * 1000

let store: Store
beforeEach(async () => {
  store = await Store.open(await mkdtemp(join(tmpdir(), 'layerwright-steps-')))
})
afterEach(() => rm(store.folder, { recursive: true }))

const cacheOf = (more: Partial<StepCache> = {}): StepCache => ({
  id: 'pip',
  platform: 'linux/amd64',
  sharing: 'shared',
  mode: 0o755,
  uid: 0,
  gid: 0,
  ...more,
})
const lend = <T>(more: Partial<StepCache>, work: (folder: string) => Promise<T>): Promise<T> =>
  withStepCache(store.folder, cacheOf(more), work)

/** Fills a cache that was last used so many days ago. */
async function fill(id: string, sizeBytes: number, days: number): Promise<void> {
  await lend({ id }, (folder) => writeFile(join(folder, 'content'), 'x'.repeat(sizeBytes)))
  const used = new Date(Date.now() - days * DAY_MS)
  const listed = await listStepCaches(store.folder)
  for (const { path, usedMs } of listed) {
    if (usedMs > Date.now() - DAY_MS / 2) await utimes(join(path, 'about.json'), used, used)
  }
}

/** Whether everybody is inside at the same time. */
async function areTogether(sharing: StepCache['sharing']): Promise<{ together: boolean; folders: Set<string> }> {
  const folders = new Set<string>()
  const seen = { running: 0, most: 0 }
  const work = async (folder: string): Promise<void> => {
    folders.add(folder)
    seen.most = Math.max(seen.most, ++seen.running)
    for (let turn = 0; turn < 20 && seen.most < 2; turn++) await new Promise((resolve) => setTimeout(resolve, 10))
    seen.running--
  }
  await Promise.all([lend({ sharing }, work), lend({ sharing }, work)])
  return { together: seen.most === 2, folders }
}

describe('withStepCache()', () => {
  it('shared: one folder for all at once', async () => {
    const { together, folders } = await areTogether('shared')
    expect([together, folders.size]).toEqual([true, 1])
  })

  it('private: each its own at once, and one after the other the same', async () => {
    const { together, folders } = await areTogether('private')
    expect([together, folders.size]).toEqual([true, 2])
    const again = await lend({ sharing: 'private' }, async (folder) => folder)
    expect(folders).toContain(again)
  })

  it('locked: one folder, one after the other', async () => {
    const { together, folders } = await areTogether('locked')
    expect([together, folders.size]).toEqual([false, 1])
  })

  it('a private one passes over a locked one that is in use', async () => {
    await lend({ sharing: 'locked' }, async (locked) => {
      expect(await lend({ sharing: 'private' }, async (folder) => folder)).not.toBe(locked)
    })
  })

  it('takes over what a process left that was killed', async () => {
    const program = `
      import { withStepCache } from '${new URL('../../dist/src/store/step-caches.js', import.meta.url).href}'
      await withStepCache(process.argv[1], JSON.parse(process.argv[2]), async (folder) => {
        console.log(folder)
        await new Promise((resolve) => setTimeout(resolve, 600000))
      })`
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', program, store.folder, JSON.stringify(cacheOf({ sharing: 'locked' }))],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [printed] = (await once(child.stdout, 'data')) as [Buffer]
    const other = await lend({ sharing: 'private' }, async (folder) => folder)
    expect(other).not.toBe(String(printed).trim())
    const waiting = lend({ sharing: 'locked' }, async (folder) => folder)
    child.kill('SIGKILL')
    expect(await waiting).toBe(String(printed).trim())
  })

  it('a new one has the mode that was asked for, and keeps it', async () => {
    const modeOf = (more: Partial<StepCache>): Promise<number> =>
      lend(more, async (folder) => (await stat(folder)).mode & 0o7777)
    expect(await modeOf({ mode: 0o1770 })).toBe(0o1770)
    expect(await modeOf({ mode: 0o700 })).toBe(0o1770)
  })

  it('one for a user of the sandbox is theirs, or all may write to it', async () => {
    const { uid, mode } = await lend({ uid: 1234, gid: 100 }, (folder) => stat(folder))
    if (process.getuid?.() === 0) expect(uid).toBe(1234)
    else expect(mode & 0o777).toBe(0o777)
  })
})

describe('removeStepCache()', () => {
  const listed = async () => (await listStepCaches(store.folder))[0] ?? expect.unreachable()

  it('is done where a command still writes into what it removes', async () => {
    await fill('pip', 10, 1)
    const cache = await listed()
    const script = 'echo; n=0; while [ $n -lt 200000 ]; do n=$((n+1)); : > $n; done'
    const writer = spawn('sh', ['-c', script], { cwd: join(cache.path, '0'), stdio: ['ignore', 'pipe', 'ignore'] })
    await once(writer.stdout, 'data')
    try {
      expect(await removeStepCache(store.folder, cache)).toBe(true)
      expect(await listStepCaches(store.folder)).toEqual([])
    } finally {
      writer.kill('SIGKILL')
      await once(writer, 'close')
    }
  })

  it('and a step that begins at the same time neither fails nor finds half of it', async () => {
    const rounds = Array.from({ length: 40 }, (_, n) => n)
    for (const n of rounds) {
      await fill('pip', 10, 1)
      const cache = await listed()
      const step = lend({}, (folder) => writeFile(join(folder, `made-${n}`), 'x'))
      await Promise.all([removeStepCache(store.folder, cache), step])
    }
  })
})

describe('pruneStore()', () => {
  it('removes caches that nothing uses', async () => {
    await fill('pip', 100, 1)
    const { keptBytes, removedFiles } = await pruneStore(store)
    expect([keptBytes, removedFiles]).toEqual([0, 1])
    expect(await listStepCaches(store.folder)).toEqual([])
    expect(await readdir(join(store.folder, 'tmp'))).toEqual([])
  })

  it('least recently used first, as a whole, down to a size', async () => {
    await fill('old', 5000, 3)
    await fill('new', 5000, 2)
    const total = (await listStepCaches(store.folder)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    expect((await pruneStore(store, { maxBytes: total, isDryRun: true })).removedFiles).toBe(0)
    expect((await pruneStore(store, { maxBytes: total - 1 })).removedFiles).toBe(1)
    expect(await lend({ id: 'new' }, (folder) => readdir(folder))).toEqual(['content'])
    expect(await lend({ id: 'old' }, (folder) => readdir(folder))).toEqual([])
  })

  it('keeps what a running build has used', async () => {
    await fill('unused', 10, 1)
    const giveBack = await holdStore(store.folder)
    await lend({ id: 'used' }, async (folder) => {
      await writeFile(join(folder, 'content'), 'x')
      await pruneStore(store)
      expect(await readdir(folder)).toEqual(['content'])
    })
    expect(await listStepCaches(store.folder)).toHaveLength(1)
    await giveBack()
  })

  it('removes folders that nobody may write to', async () => {
    await lend({}, async (folder) => {
      await mkdir(join(folder, 'module'))
      await writeFile(join(folder, 'module', 'file'), 'x')
      await chmod(join(folder, 'module'), 0o555)
    })
    await pruneStore(store, { now: () => Date.now() + DAY_MS })
    expect(await listStepCaches(store.folder)).toEqual([])
  })
})
