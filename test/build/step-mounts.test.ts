import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withMounts } from '../../src/build/step-mounts.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mounts-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const context = () => ({ store: { folder }, secrets: new Map(), env: {} })
const step = {
  command: 'make',
  mounts: [
    { type: 'cache', target: '/a' },
    { type: 'cache', target: '/b' },
  ],
} as const

test('withMounts() lends an empty folder for each cache while the work runs', async () => {
  const sources = await withMounts(step, context(), async ({ binds }) => {
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

test('withMounts() takes them away when the work fails, and makes none where none is asked for', async () => {
  await expect(withMounts(step, context(), () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await readdir(join(folder, 'tmp'))).toEqual([])
  const binds = await withMounts({ command: 'ls', mounts: [] }, context(), async (bound) => bound.binds)
  expect(binds).toEqual([])
})
