import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readSecrets } from '../../src/cli/read-secrets.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'read-secrets-'))
  await writeFile(join(folder, 'token'), 'abc')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test.each([
  ['id=a,src=token', 'a'],
  ['src=token,id=b', 'b'],
  ['type=file,id=c,source=./token', 'c'],
])('readSecrets() reads %s', async (word, id) => {
  expect(await readSecrets([word], folder)).toEqual(new Map([[id, join(folder, 'token')]]))
})

test('readSecrets() takes no secret and several', async () => {
  expect((await readSecrets([], folder)).size).toBe(0)
  expect([...(await readSecrets(['id=a,src=token', 'id=b,src=token'], folder)).keys()]).toEqual(['a', 'b'])
})

test.each([
  ['token', /given as `--secret id=NAME,src=FILE`/],
  ['id=a', /given as `--secret id=NAME,src=FILE`/],
  ['id=,src=token', /given as `--secret id=NAME,src=FILE`/],
  ['id=a,src=nothere', /secret `a` cannot be read: .*nothere/],
  ['id=a,src=.', /secret `a` is a folder/],
])('readSecrets() refuses %s by name', async (word, message) => {
  await expect(readSecrets([word], folder)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(message) as string,
  })
})

test('readSecrets() refuses an id that is given twice', async () => {
  await expect(readSecrets(['id=a,src=token', 'id=a,src=token'], folder)).rejects.toMatchObject({
    code: 'USAGE',
    message: 'The secret `a` is given twice',
  })
})
