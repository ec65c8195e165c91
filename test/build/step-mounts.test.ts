import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { mountKeys, withMounts, type MountContext } from '../../src/build/step-mounts.ts'
import type { CacheMount } from '../../src/config/config.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mounts-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const context = (more: Partial<MountContext> = {}): MountContext => ({
  store: { folder },
  secrets: new Map(),
  env: {},
  keepsCaches: true,
  platform: 'linux/amd64',
  ...more,
})
const empty = {
  command: 'make',
  mounts: [
    { type: 'tmpfs', target: '/a' },
    { type: 'tmpfs', target: '/b' },
  ],
} as const

/** Where a command finds a cache; what it leaves there is `text`. */
async function use(mount: Omit<CacheMount, 'type'>, text: string, more?: Partial<MountContext>): Promise<string> {
  const step = { command: 'make', mounts: [{ type: 'cache', ...mount } as const] }
  return withMounts(step, context(more), async ({ binds: [bind] }) => {
    const seen = await readFile(join(bind?.source ?? '', 'left'), 'utf8').catch(() => '')
    await writeFile(join(bind?.source ?? '', 'left'), text)
    return seen
  })
}

describe('withMounts()', () => {
  test('lends an empty folder for each tmpfs while the work runs', async () => {
    const sources = await withMounts(empty, context(), async ({ binds }) => {
      expect(binds.map(({ destination }) => destination)).toEqual(['/a', '/b'])
      expect(binds.every(({ options }) => options.includes('rw'))).toBe(true)
      for (const { source } of binds) {
        expect(await readdir(source)).toEqual([])
        await writeFile(join(source, 'kept'), 'x')
      }
      return binds.map(({ source }) => source)
    })
    expect(new Set(sources).size).toBe(2)
    expect(await readdir(join(folder, 'tmp'))).toEqual([])
  })

  test('takes them away when the work fails, and makes none where none is asked for', async () => {
    await expect(withMounts(empty, context(), () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await readdir(join(folder, 'tmp'))).toEqual([])
    const binds = await withMounts({ command: 'ls', mounts: [] }, context(), async (bound) => bound.binds)
    expect(binds).toEqual([])
  })

  test('a cache holds what commands before have left, by id and platform', async () => {
    expect(await use({ target: '/c' }, 'one')).toBe('')
    expect(await use({ target: '/c' }, 'two')).toBe('one')
    expect(await use({ target: '/d', id: '/c' }, 'three')).toBe('two')
    expect(await use({ target: '/d' }, 'other')).toBe('')
    expect(await use({ target: '/c' }, 'other', { platform: 'linux/arm64' })).toBe('')
    expect(await use({ target: '/c' }, '')).toBe('three')
  })

  test('a cache keeps what a command left that failed', async () => {
    const step = { command: 'make', mounts: [{ type: 'cache', target: '/c' }] } as const
    const failing = withMounts(step, context(), async ({ binds }) => {
      await writeFile(join(binds[0]?.source ?? '', 'left'), 'half')
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(await use({ target: '/c' }, '')).toBe('half')
  })

  test('caches that are not to be kept begin empty, and leave nothing', async () => {
    await use({ target: '/c' }, 'kept')
    expect(await use({ target: '/c' }, 'lost', { keepsCaches: false })).toBe('')
    expect(await use({ target: '/c' }, '')).toBe('kept')
    expect(await readdir(join(folder, 'tmp'))).toEqual([])
  })

  test('one cache at two places is one folder, though it is locked', async () => {
    const mounts = ['/a', '/b'].map((target) => ({ type: 'cache', id: 'x', sharing: 'locked', target }) as const)
    const sources = await withMounts({ command: 'ls', mounts }, context(), async ({ binds }) =>
      binds.map(({ source, destination }) => [destination, source]),
    )
    expect(sources.map(([destination]) => destination)).toEqual(['/a', '/b'])
    expect(sources[0]?.[1]).toBe(sources[1]?.[1])
  })

  test('steps that lock the same caches in another order do not wait for each other for ever', async () => {
    const mounts = ['a', 'b'].map((id) => ({ type: 'cache', id, sharing: 'locked', target: `/${id}` }) as const)
    const steps = Array.from({ length: 6 }, (_, n) => ({
      command: 'ls',
      mounts: n % 2 === 0 ? mounts : mounts.toReversed(),
    }))
    let running = 0
    const most = await Promise.all(
      steps.map((step) =>
        withMounts(step, context(), async () => {
          const now = ++running
          await new Promise((resolve) => setTimeout(resolve, 5))
          running--
          return now
        }),
      ),
    )
    expect(most).toEqual([1, 1, 1, 1, 1, 1])
  })

  test('a cache that is read-only is bound so', async () => {
    const step = { command: 'ls', mounts: [{ type: 'cache', target: '/c', isReadOnly: true }] } as const
    const options = await withMounts(step, context(), async ({ binds }) => binds[0]?.options)
    expect(options).toContain('ro')
    expect(options).not.toContain('rw')
  })
})

test('mountKeys() tells where something lies, and nothing of a cache that its content follows from', () => {
  const secret = { type: 'secret', id: 'a', target: '/a' } as const
  const cache = { type: 'cache', id: 'x', sharing: 'locked', mode: 0o700, target: '/c' } as const
  expect(mountKeys([secret, cache, { type: 'tmpfs', target: '/t' }])).toEqual([
    secret,
    { type: 'cache', target: '/c' },
    { type: 'cache', target: '/t' },
  ])
})
