import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
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

test('a login that no helper can keep is lost with a word of what to do', async () => {
  await mkdir(join(home, '.docker'))
  await writeFile(join(home, '.docker', 'config.json'), '{"credsStore":"absent"}')
  const saving = saveLogin('r.io', { username: 'me', password: 'word-of-mine' }, { env: { PATH: home }, home })
  const error: unknown = await saving.catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'CREDENTIALS_INVALID',
    message: 'The credential helper docker-credential-absent is not installed',
    hint: expect.stringContaining('Install it'),
  })
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('word-of-mine')
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

/** A server that answers everything alike. */
async function answering(
  work: (registry: string) => Promise<void>,
  body: string,
  headers: Readonly<Record<string, string>>,
  challenge?: string,
): Promise<void> {
  const server = createServer((request, response) => {
    const isAsked = challenge !== undefined && request.headers.authorization === undefined
    response.writeHead(isAsked ? 401 : 200, isAsked ? { 'www-authenticate': challenge } : headers).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await work(`127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }
const PAGE = '<!doctype html><title>Guests</title><form>'

describe('checkLogin()', () => {
  const login = { kind: 'basic', username: 'me', password: 'word-of-mine' } as const
  const check = (registry: string): Promise<void> =>
    quickRegistries({ login }).registries.client({ registry, repository: '' }, { actions: 'pull' }).checkLogin(true)

  test.each([
    ['an empty object', '{}', JSON_TYPE],
    ['true, as Quay does', 'true', JSON_TYPE],
    ['JSON that is called text', '{}\n', { 'content-type': 'text/plain' }],
    ['nothing', '', {}],
    ['a text with the header of Docker', 'ok', { 'docker-distribution-api-version': 'registry/2.0' }],
    ['a page with the header of Docker', PAGE, { 'docker-distribution-api-version': '', 'content-type': 'text/html' }],
    ['a text after it asked for a password', 'ok', {}, 'Basic realm="x"'],
  ])('believes a registry that says %s', async (_, body, headers, challenge?: string) => {
    await answering((registry) => expect(check(registry)).resolves.toBeUndefined(), body, headers, challenge)
  })

  test.each([
    ['a page', PAGE, { 'content-type': 'text/html; charset=utf-8' }],
    ['a page without a type', PAGE, {}],
    ['a text', 'It works!', { 'content-type': 'text/plain' }],
    ['a page after it asked for a password', PAGE, { 'content-type': 'text/html' }, 'Basic realm="Guests"'],
  ])('does not believe %s', async (_, body, headers, challenge?: string) => {
    await answering(
      async (registry) =>
        expect(check(registry)).rejects.toMatchObject({
          code: 'REGISTRY_FAILED',
          message: `What answers is no registry: http://${registry}/v2/`,
          hint: expect.stringContaining('login of its own'),
        }),
      body,
      headers,
      challenge,
    )
  })

  test('tells of a host that knows no such address', async () => {
    const server = createServer((_request, response) => response.writeHead(404).end(PAGE)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      await expect(check(`127.0.0.1:${(server.address() as AddressInfo).port}`)).rejects.toMatchObject({
        status: 404,
        hint: expect.stringContaining('address of a registry'),
      })
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})

test.skipIf(process.platform === 'win32')(
  'a login for Docker Hub is kept and found under its name in helpers',
  async () => {
    const kept = join(home, 'kept')
    const script = `#!/bin/sh
read server
case $1 in
store) echo "$server" > '${kept}' ;;
erase) [ "$server" = https://index.docker.io/v1/ ] && rm '${kept}' ;;
get) [ "$server" = https://index.docker.io/v1/ ] && cat '${kept}' || { echo credentials not found in native keychain; exit 1; } ;;
esac
`
    await writeFile(join(home, 'docker-credential-hub'), script)
    await chmod(join(home, 'docker-credential-hub'), 0o755)
    await mkdir(join(home, '.docker'))
    await writeFile(
      join(home, '.docker', 'config.json'),
      '{"credHelpers":{"index.docker.io":"hub"},"credsStore":"absent"}',
    )
    const env = { PATH: `${home}:/usr/bin:/bin` }
    await saveLogin('docker.io', { username: 'me', password: 'pw' }, { env, home })
    expect(await find('docker.io', env)).toEqual({ kind: 'basic', username: 'me', password: 'pw' })
    expect(await eraseLogin('docker.io', { env, home })).toBe(true)
    await expect(readFile(kept)).rejects.toThrow()
  },
)

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
