import { afterEach, beforeEach, expect, test } from 'vitest'
import { serveRegistry, type ServedRegistry } from '../../registry/server/serve.ts'
import type { RegistryClient } from '../../registry/client.ts'
import { findOldReleases, removeReleases, type KeepRules, type OldRelease } from '../../src/versions/prune.ts'
import { promote } from '../../src/versions/promote.ts'
import { rollback } from '../../src/versions/rollback.ts'
import { pushImage, type PushedImage } from '../registry/server/push.ts'
import { quickRegistries } from '../support/registries.ts'

const NOW = Date.parse('2026-11-26T17:30:00Z') / 1000
const NAMES = ['a', 'b', 'c', 'd', 'e'] as const

let served: ServedRegistry
let images: Readonly<Record<string, PushedImage>>
let client: RegistryClient
let remover: RegistryClient
beforeEach(async () => {
  served = await serveRegistry({ storage: { kind: 'memory' } })
  images = Object.fromEntries(
    await Promise.all(NAMES.map(async (name) => [name, await pushImage(served.url, 'app', name)] as const)),
  )
  const { registries } = quickRegistries()
  const repository = { registry: served.authority, repository: 'app' }
  client = registries.client(repository, { actions: 'push' })
  remover = registries.client(repository, { actions: 'delete' })
})
afterEach(() => served.close())

/** Promotes versions, and goes back (`<`). */
async function move(tag: string, ...moves: readonly string[]): Promise<void> {
  for (const version of moves)
    await (version === '<' ? rollback(client, tag, undefined, NOW) : promote(client, version, tag, NOW))
}

const find = (rules: Partial<KeepRules> = {}): Promise<readonly OldRelease[]> =>
  findOldReleases(client, { keep: 2, protect: [], ...rules }, NOW)

async function prune(rules: Partial<KeepRules> = {}): Promise<readonly string[]> {
  const removed: OldRelease[] = []
  await removeReleases(client, remover, await find(rules), (release) => removed.push(release))
  return removed.map(({ tag, number, digest }) => `${tag} ${number} ${nameOf(digest)}`)
}

const nameOf = (digest: string | undefined): string => NAMES.find((name) => images[name]?.digest === digest) ?? '?'

async function tags(): Promise<readonly string[]> {
  const found: string[] = []
  for await (const tag of client.tags()) found.push(tag)
  return found
}

const means = async (tag: string): Promise<string> => nameOf((await client.headManifest(tag))?.digest)

test('what is older than the last releases goes; the rest can be gone back to, by the same numbers', async () => {
  await move('stable', 'a', 'b', 'c', 'd', 'e')
  expect(await prune({ keep: 3 })).toEqual(['stable 1 a', 'stable 2 b'])
  expect(await means('stable')).toBe('e')
  expect((await tags()).filter((tag) => !tag.startsWith('stable.'))).toEqual([...NAMES, 'stable'])
  expect(await rollback(client, 'stable', '4', NOW)).toMatchObject({ to: images['d']?.digest, number: 4 })
  await rollback(client, 'stable', undefined, NOW)
  expect(await means('stable')).toBe('c')
  await expect(rollback(client, 'stable', undefined, NOW)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  expect(await promote(client, 'a', 'stable', NOW)).toMatchObject({ number: 4 })
})

test('what a tag means and what it meant before stay, and nothing of a short history goes', async () => {
  await move('stable', 'a', 'b')
  expect(await prune()).toEqual([])
  await move('stable', 'c', '<')
  expect(await prune()).toEqual([])
  await move('stable', 'd')
  // Gone back from and to since: neither is on the way back.
  expect(await prune()).toEqual(['stable 1 a', 'stable 2 b', 'stable 3 c'])
  await rollback(client, 'stable', undefined, NOW)
  expect(await means('stable')).toBe('b')
})

test('what was pushed to the tag counts as what it means', async () => {
  await move('stable', 'a', 'b', 'c')
  await client.putManifest('stable', await client.getManifest('d'))
  expect(await prune()).toEqual(['stable 1 a', 'stable 2 b'])
  await rollback(client, 'stable', undefined, NOW)
  expect(await means('stable')).toBe('c')
})

test('each tag has its history; one may be named, and one may have gone', async () => {
  await move('stable', 'a', 'b', 'c')
  await move('canary', 'c', 'd', 'e')
  expect(await prune({ tag: 'canary' })).toEqual(['canary 1 c'])
  await remover.deleteManifest('stable')
  expect(await prune()).toEqual(['stable 1 a'])
  await expect(find({ tag: 'a' })).rejects.toMatchObject({
    code: 'IMAGE_NOT_FOUND',
    message: expect.stringContaining('The tag was never promoted') as unknown,
  })
})

test('releases of what is protected stay, and what came after', async () => {
  await move('stable', 'a', 'b', 'c', 'd', 'e')
  expect(await prune({ protect: ['b', images['d']?.digest ?? ''] })).toEqual(['stable 1 a'])
  await expect(find({ protect: ['absent'] })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
})

test('it is told what else means the image: tags and releases that stay', async () => {
  await move('stable', 'a', 'b', 'c', 'd')
  await move('canary', 'b')
  await remover.deleteManifest('a')
  const named = (await find()).map(({ digest, alsoNamed }) => [nameOf(digest), alsoNamed])
  expect(named).toEqual([
    ['a', []],
    ['b', ['b', 'canary', expect.stringMatching(/^canary\..*\.1\./)]],
  ])
})

test('one that somebody else removed meanwhile is gone', async () => {
  await move('stable', 'a', 'b', 'c', 'd')
  const old = await find()
  await remover.deleteManifest(old[0]?.record ?? '')
  const removed: OldRelease[] = []
  await removeReleases(client, remover, old, (release) => removed.push(release))
  expect(removed).toEqual(old)
  expect(await find()).toEqual([])
})

test('a registry that takes the image with the tag is found out at the first one, and the tags are put back', async () => {
  await move('stable', 'a', 'b', 'c', 'd')
  const greedy = {
    deleteManifest: async (reference: string) => {
      const digest = (await client.headManifest(reference))?.digest
      await remover.deleteManifest(digest ?? reference)
    },
  }
  const removed: OldRelease[] = []
  await expect(removeReleases(client, greedy, await find(), (release) => removed.push(release))).rejects.toMatchObject({
    code: 'NOT_SUPPORTED',
    message: expect.stringContaining('removes whole images') as unknown,
    data: { restored: ['a'] },
  })
  expect(removed).toEqual([])
  expect(await means('a')).toBe('a')
  expect(await means('b')).toBe('b')
})
