import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { temporaryName } from '../../src/core/temporary-name.ts'
import { withSecrets, type Secret } from '../../src/build/secrets.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'secrets-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const step = {
  command: 'curl https://me:word@host.example/',
  mounts: [{ type: 'secret', id: 'token', target: '/run/secrets/token' }],
} as const
const variable = new Map<string, Secret>([['token', { kind: 'variable', name: 'TOKEN' }]])

test('withSecrets() lends a variable as a file of this user alone while the work runs', async () => {
  const env = { TOKEN: 'hunter22', XDG_RUNTIME_DIR: folder }
  const source: string = await withSecrets(step, variable, env, async ({ binds }) => {
    expect(binds).toMatchObject([{ destination: '/run/secrets/token' }])
    expect(binds[0]?.options).toContain('ro')
    const path = binds[0]?.source ?? ''
    expect(path.startsWith(folder)).toBe(true)
    expect(readFileSync(path, 'utf8')).toBe('hunter22')
    expect([statSync(path).mode & 0o777, statSync(join(path, '..')).mode & 0o777]).toEqual([0o400, 0o700])
    return path
  })
  expect(existsSync(source)).toBe(false)
  expect(await readdir(folder)).toEqual([])
})

test('withSecrets() takes the file away when the work fails, and what a killed process left', async () => {
  const own = temporaryName('layerwright.secret')
  const [left, running] = ['999999999', String(process.ppid)].map((pid) => own.replace(String(process.pid), pid))
  for (const name of [left, running]) await mkdir(join(folder, name ?? ''))
  const env = { TOKEN: 'hunter22', XDG_RUNTIME_DIR: folder }
  const failing = withSecrets(step, variable, env, () => Promise.reject(new Error('no')))
  await expect(failing).rejects.toThrow('no')
  expect(await readdir(folder)).toEqual([running])
})

test('withSecrets() masks every line of a secret, the longest first, and nothing that is short', async () => {
  const path = join(folder, 'key')
  await writeFile(path, '-----BEGIN-----\nabcdefgh\nabcdefghijkl\nab\n')
  const secrets = new Map<string, Secret>([['token', { kind: 'file', path }]])
  const masked = await withSecrets(step, secrets, {}, async ({ mask }) => mask('+ x abcdefghijkl\nabcdefgh ab cab\n'))
  expect(masked).toBe('+ x ***\n*** ab cab\n')
})

test('withSecrets() refuses what was not given, and names no address with a password', async () => {
  const missing = withSecrets(step, new Map(), {}, async () => {})
  await expect(missing).rejects.toMatchObject({
    code: 'USAGE',
    message: 'The step needs the secret `token`, which was not given: curl https://***@host.example/',
  })
  const gone = new Map<string, Secret>([['token', { kind: 'file', path: join(folder, 'gone') }]])
  await expect(withSecrets(step, gone, {}, async () => {})).rejects.toThrow(
    'The file of the secret `token` cannot be read',
  )
})
