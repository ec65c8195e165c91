import { mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isLeft, removeLeft, temporaryName } from '../../src/core/temporary-name.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'temporary-name-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** No process has a number this large. */
const ofPid = (name: string, pid = 999_999_999): string => name.replace(`-${process.pid}-`, `-${pid}-`)

test('isLeft() knows the names of processes that are gone, on this machine alone', () => {
  const name = temporaryName('.tmp')
  expect(isLeft(name)).toBe(false)
  expect(isLeft(ofPid(name))).toBe(true)
  expect(isLeft(`${ofPid(name)}-Xa81b2`)).toBe(true)
  expect(isLeft(ofPid(name).replace(/-[0-9a-f]{8}-/, '-00000000-'))).toBe(false)
  expect(isLeft('.tmp-999999999-abc')).toBe(false)
  expect(temporaryName('.tmp')).not.toBe(name)
})

test('removeLeft() takes what is left and what is old, and nothing of another kind', async () => {
  const running = temporaryName('.tmp')
  const names = [ofPid(running), running, '.tmp-old', '.tmp-young', 'other-old', ofPid(temporaryName('other'))]
  for (const name of names) await writeFile(join(folder, name), 'x')
  for (const name of ['.tmp-old', 'other-old']) await utimes(join(folder, name), 1, 1)
  await removeLeft(folder, '.tmp', 60_000)
  expect((await readdir(folder)).sort()).toEqual(names.filter((name) => ![names[0], '.tmp-old'].includes(name)).sort())
})

test('removeLeft() takes a link and not what it points to', async () => {
  await writeFile(join(folder, 'precious'), 'x')
  await symlink(join(folder, 'precious'), join(folder, ofPid(temporaryName('.tmp'))))
  await removeLeft(folder, '*')
  expect(await readdir(folder)).toEqual(['precious'])
})
