import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findCredentials, type Credentials } from '../../registry/credentials.ts'
import { eraseLogin, saveLogin } from '../../registry/login.ts'
import { Registries } from '../../registry/registries.ts'
import { BuildError } from '../../src/core/errors.ts'
import { quickRegistries } from '../support/registries.ts'

let home: string
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'login-'))))
afterEach(() => rm(home, { recursive: true, force: true }))

const find = async (registry: string, env = {}): Promise<unknown> =>
  (await findCredentials({ env, home, uid: 4242 })(registry, 'x'))?.credential

test.each(['r.io', 'localhost:5000', 'docker.io'])(
  'a login for %s is found again until it is erased',
  async (registry) => {
    const path = join(home, '.docker', 'config.json')
    await mkdir(join(home, '.docker'))
    await writeFile(path, JSON.stringify({ HttpHeaders: { a: 'b' }, auths: { 'other.io': { auth: 'bTpw' } } }))
    expect(await saveLogin(registry, { username: 'me', password: 'p:w' }, { env: {}, home })).toBe(path)
    expect(await find(registry)).toEqual({ kind: 'basic', username: 'me', password: 'p:w' })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await eraseLogin(registry, { env: {}, home })).toBe(true)
    expect(await find(registry)).toBeUndefined()
    expect(await eraseLogin(registry, { env: {}, home })).toBe(false)
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      HttpHeaders: { a: 'b' },
      auths: { 'other.io': { auth: 'bTpw' } },
    })
  },
)

test.each(['', '\n', 'null', '[]', '{"auths":null}', '{"credsStore":"x","credHelpers":{"r.io":""}}'])(
  'a login is kept in a configuration of %j',
  async (text) => {
    await mkdir(join(home, '.docker'))
    await writeFile(join(home, '.docker', 'config.json'), text)
    expect(await find('other.io')).toBeUndefined()
    await saveLogin('r.io', { username: 'me', password: 'pw' }, { env: {}, home })
    expect(await find('r.io')).toEqual({ kind: 'basic', username: 'me', password: 'pw' })
    expect(await eraseLogin('r.io', { env: {}, home })).toBe(true)
  },
)

test.skipIf(process.platform === 'win32')('a login is kept behind the link that a configuration is', async () => {
  await mkdir(join(home, 'dotfiles'))
  await writeFile(join(home, 'dotfiles', 'docker.json'), '{}')
  await mkdir(join(home, '.docker'))
  await symlink('../dotfiles/docker.json', join(home, '.docker', 'config.json'))
  await saveLogin('r.io', { username: 'me', password: 'pw' }, { env: {}, home })
  expect(await readFile(join(home, 'dotfiles', 'docker.json'), 'utf8')).toContain('r.io')
  expect((await stat(join(home, 'dotfiles', 'docker.json'))).mode & 0o777).toBe(0o600)
})

test.skipIf(process.platform === 'win32')('a login goes to the helper that the configuration names', async () => {
  const script = `#!/bin/sh\ncase $1 in store) cat > "${home}/kept";; erase) rm "${home}/kept";; esac\n`
  await writeFile(join(home, 'docker-credential-box'), script)
  await chmod(join(home, 'docker-credential-box'), 0o755)
  await mkdir(join(home, '.docker'))
  await writeFile(join(home, '.docker', 'config.json'), '{"credsStore":"box"}')
  const place = { env: { PATH: `${home}:/usr/bin:/bin` }, home }
  expect(await saveLogin('r.io', { username: 'me', password: 'pw' }, place)).toBe('docker-credential-box')
  expect(JSON.parse(await readFile(join(home, 'kept'), 'utf8'))).toEqual({
    ServerURL: 'r.io',
    Username: 'me',
    Secret: 'pw',
  })
  expect(await readFile(join(home, '.docker', 'config.json'), 'utf8')).not.toContain('pw')
  await eraseLogin('r.io', place)
  await expect(readFile(join(home, 'kept'))).rejects.toThrow()
})

test('a registry that takes no login is told by who is at fault', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const given = { kind: 'basic', username: 'me', password: 'word-of-mine' } as const
  const client = quickRegistries({ login: given }).registries.client({ registry, repository: '' }, { actions: 'pull' })
  const hintOf = (check: Promise<void>): Promise<unknown> =>
    check.then(
      () => undefined,
      (error: unknown) => (error instanceof BuildError && !error.message.includes('word-of-mine') ? error.hint : error),
    )
  try {
    expect(await hintOf(client.checkLogin(true))).toBe('Check the user name, and the password or token.')
    expect(await hintOf(client.checkLogin())).toContain('layerwright login')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test.each([
  ['basic', 'Basic realm="test"', 401],
  ['bearer', 'Bearer realm="/token",service="test"', 401],
])(
  'credentials that are refused (%s) are told apart from none, with where they are from',
  async (_, challenge, status) => {
    const server = createServer((request, response) => {
      response.writeHead(status, request.url?.startsWith('/token') ? {} : { 'www-authenticate': challenge }).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const hintOf = async (credentials: Credentials): Promise<unknown> => {
      const registries = new Registries({ env: {}, home, credentials })
      const client = registries.client({ registry, repository: 'a' }, { actions: 'pull' })
      const error: unknown = await client.getManifest('v1').catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'REGISTRY_DENIED', message: expect.not.stringContaining('expired-word') })
      return (error as BuildError).hint
    }
    const credential = { kind: 'basic', username: 'me', password: 'expired-word' } as const
    try {
      expect(await hintOf(async () => ({ credential, origin: '/home/me/.docker/config.json' }))).toBe(
        `The credentials from /home/me/.docker/config.json were not accepted: they are wrong or have expired. Log in with \`layerwright login ${registry}\` again.`,
      )
      expect(await hintOf(async () => undefined)).toMatch(/^Log in with/)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  },
)
