import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/main.ts'
import type { CheckResult } from '../../src/doctor/check.ts'
import { examineRegistry, type RegistryExamination } from '../../src/doctor/registry.ts'
import { startFaultRegistry, type FaultRegistry } from '../support/fault-registry.ts'
import { recordIo } from '../support/output.ts'

const [username, password] = ['me', 'very-secret']
let folder: string
let registry: FaultRegistry

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-registry-'))
  registry = await startFaultRegistry({ protection: { kind: 'basic', username, password } })
})
afterEach(async () => {
  await registry.close()
  await rm(folder, { recursive: true, force: true })
})

async function write(path: string, text: string): Promise<string> {
  const whole = join(folder, path)
  await mkdir(dirname(whole), { recursive: true })
  await writeFile(whole, text)
  return whole
}

const login = (): string =>
  JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from(`${username}:${password}`).toString('base64') } } })

function look(name: string, options: Partial<RegistryExamination> = {}): Promise<readonly CheckResult[]> {
  return examineRegistry(name, { env: {}, home: join(folder, 'home'), systemFolder: join(folder, 'etc'), ...options })
}

/** What was said under a title. */
function said(results: readonly CheckResult[], title: string): string | undefined {
  const found = results.find((result) => result.title === title)
  return found === undefined ? undefined : `${found.status}: ${found.message}`
}

test('examineRegistry() names the login that is used, and never shows it', async () => {
  const path = await write('home/.docker/config.json', login())
  const results = await look(registry.host)
  expect(said(results, path)).toBe('ok: used')
  expect(said(results, 'Login')).toBe(`ok: a user and password from ${path}`)
  expect(said(results, 'Proof')).toBe('ok: user and password with each request')
  expect(said(results, 'Access')).toBe('ok: the login is accepted')
  expect(JSON.stringify(results)).not.toMatch(/very-secret|"me"|me:/)
})

test('examineRegistry() fails without a login where one is wanted', async () => {
  const results = await look(registry.host)
  expect(said(results, 'Login')).toBe('ok: none: asked without a name')
  expect(results.find(({ title }) => title === 'Answer')).toMatchObject({
    status: 'error',
    remedy: expect.stringContaining('layerwright login'),
  })
})

test('examineRegistry() lists settings in the order in which they count, with what decided', async () => {
  const own = await write(
    'home/.config/containers/registries.conf',
    '[[registry]]\nprefix = "a.example/team"\nlocation = "b.example/x"\n[[registry.mirror]]\nlocation = "m.example"\npull-from-mirror = "digest-only"\n',
  )
  const system = await write('etc/containers/registries.conf', '')
  const toml = await write('etc/docker/certs.d/a.example/hosts.toml', 'server = "https://c.example"\n')
  const inside = await look('a.example/team/app', { offline: true })
  expect([own, system, toml].map((path) => said(inside, path))).toEqual([
    'ok: used',
    'skipped: there, says nothing that counts',
    'skipped: there, says nothing that counts',
  ])
  expect(said(inside, 'Server')).toBe('ok: https://b.example/v2')
  expect(said(inside, 'Mirror 1')).toBe('ok: https://m.example/v2 (by digest only)')
  const paths = inside.map(({ title }) => title)
  expect([own, system, toml].map((path) => paths.indexOf(path))).toEqual(
    [own, system, toml].map((path) => paths.indexOf(path)).sort((a, b) => a - b),
  )
  const daemon = await write('etc/docker/daemon.json', '{"registry-mirrors": ["https://hub.example"]}')
  expect(said(await look('a.example', { offline: true }), daemon)).toBe('skipped: there, says nothing that counts')
  const hub = await look('docker.io', { offline: true })
  expect([said(hub, daemon), said(hub, 'Mirror 1')]).toEqual(['ok: used', 'ok: https://hub.example/v2'])
  const outside = await look('a.example', { offline: true })
  expect(said(outside, toml)).toBe('ok: used')
  expect(said(outside, 'Server')).toBe('ok: https://c.example/v2')
  expect(said(outside, 'Answer')).toBe('skipped: Offline')
})

test('examineRegistry() shows certificates, proxies without their password, and --insecure', async () => {
  await write('etc/containers/certs.d/a.example/ca.crt', 'pem')
  const env = { HTTPS_PROXY: 'http://user:hidden@proxy.example:3128', SSL_CERT_FILE: '/own.pem' }
  const results = await look('a.example', { env, offline: true, insecure: true })
  expect(said(results, join(folder, 'etc/containers/certs.d/a.example'))).toBe('ok: used')
  expect(said(results, 'SSL_CERT_FILE')).toBe('ok: /own.pem')
  expect(said(results, 'Proxy')).toBe('ok: http://***@proxy.example:3128/')
  expect(said(results, '--insecure')).toBe('ok: used')
  expect(JSON.stringify(results)).not.toContain('hidden')
})

test('examineRegistry() asks no registry that is blocked', async () => {
  const path = await write(
    'etc/containers/registries.conf',
    `[[registry]]\nlocation = "${registry.host}"\nblocked = true\n`,
  )
  const results = await look(registry.host)
  expect(results.find(({ title }) => title === 'Access')).toMatchObject({
    status: 'error',
    remedy: `Remove \`blocked\` in ${path}.`,
  })
  expect(registry.requests).toEqual([])
})

test('examineRegistry() names the token server', async () => {
  await registry.close()
  registry = await startFaultRegistry({ protection: { kind: 'bearer' } })
  const results = await look(`${registry.host}/app`)
  expect(said(results, 'Proof')).toBe(`ok: tokens from ${registry.host}`)
  expect(said(results, 'Access')).toBe('ok: without a login')
})

test('doctor registry prints it, as a page and as JSON; doctor alone looks at the machine', async () => {
  await write('home/.docker/config.json', login())
  const env = { HOME: join(folder, 'home'), PATH: process.env['PATH'] }
  const page = recordIo({ env })
  expect(await runCommandLine(['doctor', 'registry', registry.host], page)).toBe(0)
  expect(page.stdout.text()).toContain('the login is accepted')
  const json = recordIo({ env })
  expect(await runCommandLine(['doctor', 'registry', 'ghcr', '--json'], json)).toBe(2)
  expect(await runCommandLine(['doctor', 'registry', registry.host, '--offline', '--json'], json)).toBe(0)
  expect(JSON.parse(json.stdout.text())).toMatchObject({ checks: expect.any(Array) })
})
