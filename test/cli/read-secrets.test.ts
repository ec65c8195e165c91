import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readSecrets } from '../../src/cli/read-secrets.ts'

let folder: string
const env = { TOKEN: 's3cret-value', token: 'lower', NOTHING: '' }
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'read-secrets-'))
  for (const name of ['token', 'plain', 'with,comma']) await writeFile(join(folder, name), 'abc')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const read = (...words: string[]): ReturnType<typeof readSecrets> => readSecrets(words, { cwd: folder, env })

test.each([
  ['id=a,src=token', 'a', 'token'],
  ['src=token,id=b', 'b', 'token'],
  ['type=file,id=c,source=./token', 'c', 'token'],
  ['id=plain', 'plain', 'plain'],
  ['type=file,id=token', 'token', 'token'],
  ['id=d,"src=with,comma"', 'd', 'with,comma'],
  ['ID=e,SRC=token', 'e', 'token'],
])('readSecrets() reads the file of %s', async (word, id, file) => {
  expect(await read(word)).toEqual(new Map([[id, { kind: 'file', path: join(folder, file) }]]))
})

test.each([
  ['id=a,env=TOKEN', 'a', 'TOKEN'],
  ['type=env,id=b,env=TOKEN', 'b', 'TOKEN'],
  ['type=env,id=c,src=TOKEN', 'c', 'TOKEN'],
  ['type=env,id=TOKEN', 'TOKEN', 'TOKEN'],
  ['id=token', 'token', 'token'],
])('readSecrets() reads the variable of %s, and does not hold its value', async (word, id, name) => {
  expect(await read(word)).toEqual(new Map([[id, { kind: 'variable', name }]]))
})

test('readSecrets() takes no secret and several', async () => {
  expect((await read()).size).toBe(0)
  expect([...(await read('id=a,src=token', 'id=b,env=TOKEN')).keys()]).toEqual(['a', 'b'])
})

test.each([
  ['token', 'A --secret has a part that is no `key=value`'],
  ['src=token', 'A --secret has no `id`'],
  ['id=,src=token', 'A --secret has no `id`'],
  ['', 'A --secret has no `id`'],
  ['id=a,src=', 'A --secret names nothing'],
  ['id=a,env=', 'A --secret names nothing'],
  ['id=a,type=env', 'A --secret has no `env`'],
  ['id=a,value=hunter22', 'A --secret has an unknown part, `value`'],
  ['id=a,src=token,mode=0400', 'A --secret has an unknown part, `mode`'],
  ['id=a,src=token,src=token', 'A --secret has two parts `src`'],
  ['id=a,src=token,source=plain', 'A --secret has two parts `src`'],
  ['id=a,type=vault,src=x', 'A --secret has a type that is neither `file` nor `env`'],
  ['id=a,src=token,env=TOKEN', 'A --secret names both a file and a variable'],
  ['id=a,type=file,env=TOKEN', 'A --secret names both a file and a variable'],
  ['id=a,env=UNSET', 'The variable `UNSET` of the secret `a` is not set'],
  ['id=a,env=NOTHING', 'The variable `NOTHING` of the secret `a` is empty'],
  ['id=gone', 'The secret `gone` is neither a variable nor a file here'],
])('readSecrets() refuses %s', async (word, message) => {
  await expect(read(word)).rejects.toMatchObject({ code: 'USAGE', message })
})

test('readSecrets() repeats no value, and names the part that was meant', async () => {
  const error = await read('id=a,scr=hunter22').catch((thrown: unknown) => thrown)
  expect(JSON.stringify([error, (error as Error).message])).not.toContain('hunter22')
  expect(error).toMatchObject({ hint: expect.stringMatching(/^Did you mean `src`\?/) as string })
})

test.each([
  ['id=a,src=nothere', /secret `a` cannot be read: .*nothere/],
  ['id=a,src=.', /secret `a` is a folder/],
])('readSecrets() refuses %s by name', async (word, message) => {
  await expect(read(word)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringMatching(message) as string })
})

test('readSecrets() refuses an id that is given twice', async () => {
  await expect(read('id=a,src=token', 'id=a,env=TOKEN')).rejects.toMatchObject({
    code: 'USAGE',
    message: 'The secret `a` is given twice',
  })
})
