import { expect, test } from 'vitest'
import type { Lock, LockedPlatform } from '../../src/lock/lock.ts'
import { fromPortable, toPortable, withoutPlace } from '../../src/lock/portable.ts'

const folder = '/work/my project'
const platform: LockedPlatform = { os: 'linux', architecture: 'amd64' }

function lockOf(url: string, index: string): Lock {
  const wheel = { name: 'a', version: '1', filename: 'a.whl', url, index, sha256: 'x', sizeBytes: 1 }
  const source = { place: { kind: 'archive' }, buildRequires: [{ ...wheel, name: 'b' }] }
  const weights = [{ name: 'w', url: 'project:w.bin' }]
  return { lockVersion: 1, platforms: [{ platform, wheels: [{ ...wheel, source }], launcher: [] }], weights } as never
}

test.each([
  ['file:///work/my%20project/wheels/a.whl', 'project:wheels/a.whl'],
  ['file:///work/my%20project', 'project:'],
  ['file:///work/my%20projects/a.whl', 'file:///work/my%20projects/a.whl'],
  ['https://index.example/work/my%20project/a.whl', 'https://index.example/work/my%20project/a.whl'],
])('toPortable() writes %s as %s, and fromPortable() reads it back', (url, written) => {
  const lock = lockOf(url, url)
  expect(toPortable(lock, folder)).toEqual(lockOf(written, written))
  expect(fromPortable(toPortable(lock, folder), folder)).toEqual(lock)
})

test('a lock of one folder is used in another', () => {
  const there = fromPortable(toPortable(lockOf('file:///work/my%20project/a.whl', 'x'), folder), '/other')
  expect(there).toEqual(lockOf('file:///other/a.whl', 'x'))
})

test('withoutPlace() is the same for two folders of one project, and no other address changes', () => {
  const question = (place: string, address: string): unknown => ({
    links: [`${place}/wheels`, place, `${address}/wheels`],
    lines: [[`thing @ ${address}/thing.whl`, []]],
    index: 'https://index.example/work/my%20project/simple',
    count: 1,
    none: null,
  })
  const here = withoutPlace(question(folder, 'file:///work/my%20project'), folder)
  expect(here).toEqual(withoutPlace(question('/b', 'file:///b'), '/b'))
  expect(here).toMatchObject({ index: 'https://index.example/work/my%20project/simple', count: 1, none: null })
})
