import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readRevision } from '../../src/build/revision.ts'

const commit = '0123456789abcdef0123456789abcdef01234567'
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'revision-'))
  await mkdir(join(folder, '.git', 'refs', 'heads'), { recursive: true })
  await mkdir(join(folder, 'project'))
})
afterEach(() => rm(folder, { recursive: true }))

const write = (path: string, text: string): Promise<void> => writeFile(join(folder, path), text)

test('readRevision() follows HEAD to a branch, from a folder below the checkout', async () => {
  await write('.git/HEAD', 'ref: refs/heads/main\n')
  await write('.git/refs/heads/main', `${commit}\n`)
  expect(await readRevision(join(folder, 'project'), {})).toEqual({ commit, ref: 'main' })
})

test('readRevision() finds a packed ref', async () => {
  await write('.git/HEAD', 'ref: refs/heads/main\n')
  await write('.git/packed-refs', `# pack-refs with: peeled\n${commit} refs/heads/main\n`)
  expect(await readRevision(folder, {})).toEqual({ commit, ref: 'main' })
})

test('readRevision() takes a detached HEAD', async () => {
  await write('.git/HEAD', commit)
  expect(await readRevision(folder, {})).toEqual({ commit })
})

test('readRevision() follows the file of a worktree', async () => {
  await write('project/.git', 'gitdir: ../.git/worktrees/p')
  await mkdir(join(folder, '.git/worktrees/p'), { recursive: true })
  await write('.git/worktrees/p/HEAD', 'ref: refs/heads/main')
  await write('.git/worktrees/p/commondir', '../..')
  await write('.git/refs/heads/main', commit)
  expect(await readRevision(join(folder, 'project'), {})).toEqual({ commit, ref: 'main' })
})

test('readRevision() prefers what the CI says', async () => {
  await write('.git/HEAD', commit)
  const other = 'f'.repeat(40)
  expect(await readRevision(folder, { GITHUB_SHA: other, GITHUB_REF_NAME: 'v1' })).toEqual({ commit: other, ref: 'v1' })
})

test('readRevision() has no answer for a checkout without a commit, a strange ref, and no checkout', async () => {
  await write('.git/HEAD', 'ref: refs/heads/main')
  expect(await readRevision(folder, {})).toBeUndefined()
  await write('.git/HEAD', 'ref: refs/heads/../../../secret')
  expect(await readRevision(folder, {})).toBeUndefined()
  await rm(join(folder, '.git'), { recursive: true })
  expect(await readRevision(folder, {})).toBeUndefined()
})
