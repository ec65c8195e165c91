import { expect, test } from 'vitest'
import { makeDirectUrl } from '../../src/plan/direct-url.ts'
import type { LockedWheel } from '../../src/python/lock.ts'

const wheel: LockedWheel = {
  name: 'a',
  version: '1',
  filename: 'a-1-py3-none-any.whl',
  url: 'https://user:secret@files.example/a-1-py3-none-any.whl',
  sha256: 'ab'.repeat(32),
  sizeBytes: 1,
  requested: true,
  dependencies: [],
}

test('makeDirectUrl() speaks of wheels by address alone, without credentials', () => {
  expect(makeDirectUrl(wheel)).toBeUndefined()
  expect(makeDirectUrl({ ...wheel, isDirect: true })).toEqual({
    url: 'https://files.example/a-1-py3-none-any.whl',
    archive_info: { hash: `sha256=${wheel.sha256}`, hashes: { sha256: wheel.sha256 } },
  })
  expect(makeDirectUrl({ ...wheel, isDirect: true, url: 'file:///home/me/a-1-py3-none-any.whl' })).toBeUndefined()
})

test('makeDirectUrl() names the commit of a repository', () => {
  const place = {
    kind: 'repository',
    url: 'https://git.example/a.git',
    commit: 'c'.repeat(40),
    subdirectory: 'x',
  } as const
  expect(makeDirectUrl({ ...wheel, isDirect: true, source: { place, buildRequires: [] } })).toEqual({
    url: 'https://git.example/a.git',
    vcs_info: { vcs: 'git', commit_id: place.commit },
    subdirectory: 'x',
  })
})
