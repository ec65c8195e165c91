import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findCredentials, type CredentialOptions } from '../../registry/credentials.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'credentials-'))))
afterEach(() => rm(folder, { recursive: true, force: true }))

const auth = (text: string): { auth: string } => ({ auth: Buffer.from(text).toString('base64') })
const basic = (username: string, password: string) => ({ kind: 'basic', username, password })

async function write(path: string, content: object | string): Promise<string> {
  const whole = join(folder, path)
  await mkdir(dirname(whole), { recursive: true })
  await writeFile(whole, typeof content === 'string' ? content : JSON.stringify(content))
  return whole
}

/** A credential helper as a script. */
async function helper(name: string, script: string): Promise<void> {
  const path = await write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
}

async function find(
  registry: string,
  repository = 'team/app',
  env: Record<string, string> = {},
  more: CredentialOptions = {},
): Promise<unknown> {
  const path = `${join(folder, 'bin')}${delimiter}/usr/bin${delimiter}/bin`
  const credentials = findCredentials({ env: { PATH: path, ...env }, home: join(folder, 'home'), uid: 4242, ...more })
  return (await credentials(registry, repository))?.credential
}

const DOCKER = 'home/.docker/config.json'

describe('findCredentials() reads', () => {
  test.each([
    ['r.io', 'r.io'],
    ['https://r.io', 'r.io'],
    ['http://r.io/', 'r.io'],
    ['https://r.io/v2/', 'r.io'],
    ['https://index.docker.io/v1/', 'docker.io'],
    ['index.docker.io', 'docker.io'],
    ['docker.io', 'docker.io'],
    ['registry-1.docker.io', 'docker.io'],
    ['localhost:5000', 'localhost:5000'],
  ])('52 the key %s for %s', async (key, registry) => {
    await write(DOCKER, {
      auths: { [key]: auth('me:pa:ss'), 'https://index.docker.io/v1/access-token': auth('no:no') },
    })
    expect(await find(registry)).toEqual(basic('me', 'pa:ss'))
    expect(await find('other.io')).toBeUndefined()
  })

  test('the longest path first', async () => {
    await write(DOCKER, {
      auths: { 'r.io': auth('host:1'), 'r.io/team': auth('team:2'), 'r.io/team/app': auth('app:3') },
    })
    expect(await find('r.io', 'team/app')).toEqual(basic('app', '3'))
    expect(await find('r.io', 'team/other')).toEqual(basic('team', '2'))
    expect(await find('r.io', 'teams/app')).toEqual(basic('host', '1'))
  })

  test('identity tokens, registry tokens and plain users', async () => {
    await write(DOCKER, {
      auths: {
        'a.io': { ...auth('me:'), identitytoken: 'refresh' },
        'b.io': auth('<token>:refresh'),
        'c.io': { registrytoken: 'bearer' },
        'd.io': { username: 'me', password: 'pw' },
        'e.io': {},
      },
    })
    expect(await find('a.io')).toEqual({ kind: 'identity', username: 'me', token: 'refresh' })
    expect(await find('b.io')).toEqual({ kind: 'identity', username: '<token>', token: 'refresh' })
    expect(await find('c.io')).toEqual({ kind: 'registry-token', token: 'bearer' })
    expect(await find('d.io')).toEqual(basic('me', 'pw'))
    expect(await find('e.io')).toBeUndefined()
  })

  test('the places in their order', async () => {
    const files = {
      'run/containers/auth.json': 'runtime',
      'home/.config/containers/auth.json': 'containers',
      [DOCKER]: 'docker',
    }
    const env: Record<string, string> = { XDG_RUNTIME_DIR: join(folder, 'run') }
    for (const [path, user] of Object.entries(files).reverse()) {
      await write(path, { auths: { 'r.io': auth(`${user}:x`) } })
      expect(await find('r.io', 'a', env)).toEqual(basic(user, 'x'))
    }
    const named = await write('named.json', { auths: { 'other.io': auth('named:x') } })
    expect(await find('r.io', 'a', { ...env, REGISTRY_AUTH_FILE: named })).toBeUndefined()
    expect(await find('other.io', 'a', { ...env, REGISTRY_AUTH_FILE: named })).toEqual(basic('named', 'x'))
    const inline = JSON.stringify({ auths: { 'r.io': auth('inline:x') } })
    expect(await find('r.io', 'a', { ...env, DOCKER_AUTH_CONFIG: inline })).toEqual(basic('inline', 'x'))
    const own = await write('docker/config.json', { auths: { 'z.io': auth('own:x') } })
    expect(await find('z.io', 'a', { DOCKER_CONFIG: dirname(own) })).toEqual(basic('own', 'x'))
  })

  test('the variables of GitHub and GitLab', async () => {
    expect(await find('ghcr.io', 'a', { GITHUB_TOKEN: 't', GITHUB_ACTOR: 'me' })).toEqual(basic('me', 't'))
    expect(await find('docker.io', 'a', { GITHUB_TOKEN: 't' })).toBeUndefined()
    const gitlab = { CI_REGISTRY: 'registry.gitlab.com', CI_REGISTRY_USER: 'u', CI_REGISTRY_PASSWORD: 'p' }
    expect(await find('registry.gitlab.com', 'a', gitlab)).toEqual(basic('u', 'p'))
    const job = { CI_REGISTRY: 'registry.gitlab.com', CI_JOB_TOKEN: 'j' }
    expect(await find('registry.gitlab.com', 'a', job)).toEqual(basic('gitlab-ci-token', 'j'))
    expect(await find('evil.com', 'a', job)).toBeUndefined()
  })
})

describe('findCredentials() refuses', () => {
  test.each([
    ['no JSON', '{"auths": hunter2'],
    ['no Base64', { auths: { 'r.io': { auth: 'hunter2!!' } } }],
    ['no colon', { auths: { 'r.io': auth('hunter2') } }],
    ['a line break in the password', { auths: { 'r.io': auth('me:hunter2\r\nX-Evil: 1') } }],
  ])('%s, without the secret in the text', async (_, content) => {
    await write(DOCKER, content)
    const error = await find('r.io').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'CREDENTIALS_INVALID' })
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('hunter2')
  })
})

describe.skipIf(process.platform === 'win32')('credential helpers', () => {
  const answer = (username: string, secret: string): string =>
    `read server; echo '{"ServerURL":"x","Username":"${username}","Secret":"${secret}"}'`
  const NOT_FOUND = 'cat > /dev/null; echo "credentials not found in native keychain"; exit 1'

  test('of a host go before entries, the general one after them', async () => {
    await helper('host', answer('helped', 'h'))
    await helper('store', answer('stored', 's'))
    await write(DOCKER, {
      credHelpers: { 'a.io': 'host' },
      credsStore: 'store',
      auths: { 'a.io': auth('x:y'), 'b.io': auth('b:b') },
    })
    expect(await find('a.io')).toEqual(basic('helped', 'h'))
    expect(await find('b.io')).toEqual(basic('b', 'b'))
    expect(await find('c.io')).toEqual(basic('stored', 's'))
  })

  test('give identity tokens under the user <token>', async () => {
    await helper('id', answer('<token>', 'refresh'))
    await write(DOCKER, { credHelpers: { 'a.io': 'id' } })
    expect(await find('a.io')).toEqual({ kind: 'identity', username: '<token>', token: 'refresh' })
  })

  test.each([
    ['not found', NOT_FOUND, undefined],
    ['failing', 'echo secret; exit 3', /status 3/],
    ['talking nonsense', 'echo secret', /no JSON/],
    // Alone with a limit: on a busy machine a program may take longer than that to start.
    ['hanging', 'exec sleep 60', /did not answer/, 300],
    ['endless', 'yes secret', /without end/],
  ])('53 %s: the next place is asked', async (_, script, warning, helperTimeoutMs = 60_000) => {
    await helper('bad', script)
    await write(DOCKER, { credHelpers: { 'a.io': 'bad' }, auths: { 'a.io': auth('next:x') } })
    const notes: string[] = []
    const report: CredentialOptions['report'] = (event) => void (event.type === 'note' && notes.push(event.text))
    expect(await find('a.io', 'x', {}, { report, helperTimeoutMs })).toEqual(basic('next', 'x'))
    if (warning === undefined) expect(notes).toEqual([])
    else expect(notes.join()).toMatch(warning)
    expect(notes.join()).not.toContain('secret')
  })

  test('53 missing: the next place is asked', async () => {
    await write(DOCKER, { credHelpers: { 'a.io': 'absent' }, auths: { 'a.io': auth('next:x') } })
    expect(await find('a.io')).toEqual(basic('next', 'x'))
  })

  test('that are missing are told once in an operation, with what to do', async () => {
    const path = await write(DOCKER, { credsStore: 'absent' })
    const notes: unknown[] = []
    const report: CredentialOptions['report'] = (event) => void notes.push(event)
    expect(await find('docker.io', 'a', {}, { report })).toBeUndefined()
    expect(await find('b.io', 'x', {}, { report })).toBeUndefined()
    expect(await find('b.io', 'y', {}, { report })).toBeUndefined()
    expect(notes).toEqual([
      {
        type: 'note',
        level: 'warning',
        code: 'CREDENTIALS_INVALID',
        text: `The credential helper docker-credential-absent is not installed. It is named by \`credsStore\` in ${path}, and passed over. Install it where PATH finds it, or take it out of your Docker or containers configuration.`,
      },
    ])
  })

  test('are asked once about a server, and that fail not by its other name', async () => {
    const asked = join(folder, 'asked')
    await helper('count', `read server; echo "$server" >> '${asked}'; echo hush; exit 7`)
    await write(DOCKER, { credsStore: 'count' })
    const env = { PATH: `${join(folder, 'bin')}:/usr/bin:/bin` }
    const notes: string[] = []
    const report: CredentialOptions['report'] = (event) => void (event.type === 'note' && notes.push(event.text))
    const credentials = findCredentials({ env, home: join(folder, 'home'), uid: 4242, report })
    await Promise.all(['a', 'b', 'c'].map((repository) => credentials('r.io', repository)))
    expect(await readFile(asked, 'utf8')).toBe('r.io\n')
    expect(notes).toEqual([expect.stringMatching(/failed for r\.io with status 7.*docker-credential-count get/)])
    expect(notes.join()).not.toContain('hush')
  })
})
