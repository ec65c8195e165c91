import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseBytes, parseDuration } from '../../../src/cli/quantity.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { openBytes } from '../../../src/core/bytes.ts'
import { Store } from '../../../src/store/store.ts'
import { recordIo, type RecordedIo } from '../../support/output.ts'

let store: Store
beforeEach(async () => {
  store = await Store.open(await mkdtemp(join(tmpdir(), 'layerwright-cache-')))
})
afterEach(() => rm(store.folder, { recursive: true }))

const run = async (...args: string[]): Promise<RecordedIo & { status: number }> => {
  const io = recordIo({ env: { LAYERWRIGHT_CACHE: store.folder } })
  return { ...io, status: await runCommandLine(['cache', ...args], io) }
}

test('cache ls, du, prune and verify say what there is and what they did', async () => {
  const { digest } = await store.put(openBytes(Buffer.alloc(1500))())
  await store.cache('index').set('page', Buffer.from('html'))
  expect((await run('ls')).stdout.text()).toMatch(
    new RegExp(`^${digest.slice(0, 19)} +1\\.5 kB +0\\.\\ds ago +download\\n$`),
  )
  expect(JSON.parse((await run('ls', '--json')).stdout.text())).toMatchObject([
    { digest, sizeBytes: 1500, role: 'download' },
  ])
  expect((await run('du')).stdout.text()).toMatch(/^downloads +1 files +1\.5 kB$/m)
  expect(JSON.parse((await run('du', '--json')).stdout.text())).toMatchObject({ total: { files: 2, bytes: 1508 } })
  expect((await run('prune', '--dry-run')).stdout.text()).toBe('Would remove 2 files, 1.5 kB; 0 B stay\n')
  expect((await run('verify')).stdout.text()).toBe('1 blobs, 1.5 kB: 0 damaged\n')
  expect((await run('prune', '--max-size', '1GB')).stdout.text()).toBe('Removed 0 files, 0 B; 1.5 kB stay\n')
  expect((await run('prune')).stdout.text()).toBe('Removed 2 files, 1.5 kB; 0 B stay\n')
})

test('cache verify ends with the status of integrity when something was damaged', async () => {
  const { digest } = await store.put(openBytes(Buffer.from('right'))())
  await writeFile(store.path(digest), 'wrong')
  const { status, stdout } = await run('verify')
  expect(status).toBe(5)
  expect(stdout.text()).toBe(`damaged, removed: ${digest}\n1 blobs, 5 B: 1 damaged\n`)
  expect((await run('verify')).status).toBe(0)
})

test.each([
  ['20GB', 20e9],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['500M', 500e6],
  ['4096', 4096],
  ['10 kB', 10e3],
])('parseBytes(%s)', (text, bytes) => expect(parseBytes(text)).toBe(bytes))

test.each([
  ['30d', 30 * 86_400_000],
  ['12h', 43_200_000],
  ['90m', 5_400_000],
])('parseDuration(%s)', (text, ms) => expect(parseDuration(text)).toBe(ms))

test.each(['', 'x', '-1GB', '1XB', 'GB'])('parseBytes(%j) is a usage error', (text) => {
  expect(() => parseBytes(text)).toThrow('Not a size')
})
test.each(['', '30', '1y'])('parseDuration(%j) is a usage error', (text) => {
  expect(() => parseDuration(text)).toThrow('Not a length of time')
})
