import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Registries } from '../../registry/registries.ts'
import { exitStatus } from '../../src/core/errors.ts'
import { makeHttp } from '../../src/core/http.ts'
import { runCommandLine } from '../../src/cli/main.ts'
import { recordIo } from '../support/output.ts'

let folder: string
let plain: Server
let connections = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unreachable-'))
  plain = createServer((socket) => {
    connections++
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n'))
  }).listen(0, '127.0.0.1')
  await once(plain, 'listening')
  await writeFile(
    join(folder, 'run.py'),
    'from cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self) -> str: ...\n',
  )
})
beforeEach(() => {
  connections = 0
})
afterAll(async () => {
  plain.close()
  await rm(folder, { recursive: true, force: true })
})

const withoutTls = (): string => `127.0.0.1:${(plain.address() as AddressInfo).port}`

/** Reserved so that no name server knows it (RFC 6761, section 6.4). */
const NOWHERE = 'host.invalid'

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const common = { LAYERWRIGHT_CACHE: join(folder, 'store'), HOME: folder }
  const io = recordIo({ cwd: folder, env: { ...common, ...env } })
  return { status: await runCommandLine([...args], io), stderr: io.stderr.text() }
}

const projectWithArchive = (place: string): Promise<void> =>
  writeFile(
    join(folder, 'cog.yaml'),
    `build:
  python_version: "3.11"
  system_packages: [one-of-theirs]
  apt_sources:
    - url: https://${place}/debian
      suite: stable
      components: [main]
      key: {url: "https://${place}/key.asc", sha256: "${'0'.repeat(64)}"}
run: run.py:Runner
`,
  )

test('a registry that speaks no TLS is not worth a retry, and is asked once', async () => {
  // On this machine's own addresses plain HTTP is tried by itself; so it gets the address of another one here.
  const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
  const { port } = plain.address() as AddressInfo
  const registries = new Registries({ env: {}, home: folder, http: makeHttp({ env: {}, lookup }) })
  const client = registries.client({ registry: `registry.test:${port}`, repository: 'a' }, { actions: 'pull' })
  const error: unknown = await client.headManifest('v1').catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'TLS_FAILED', hint: expect.stringContaining('`--insecure` for a registry') })
  expect(exitStatus(error)).toBe(5)
  expect(connections).toBe(1)
})

test.each([
  ['a package index', ['resolve', 'six==1.16.0'] as const],
  ['an archive', ['plan'] as const],
])('%s that speaks no TLS is not worth a retry', async (_, args) => {
  await projectWithArchive(withoutTls())
  const { status, stderr } = await run(args, { UV_DEFAULT_INDEX: `https://${withoutTls()}/simple` })
  expect(stderr).toContain('error[TLS_FAILED]')
  expect(stderr).toMatch(/hint: .*`http:\/\/` into the address/)
  expect(stderr).not.toContain('caused by')
  expect(status).toBe(5)
})

test('a proxy that speaks no TLS is told apart from the server', async () => {
  const { status, stderr } = await run(['resolve', 'six'], {
    HTTPS_PROXY: `https://${withoutTls()}`,
    UV_DEFAULT_INDEX: 'https://index.test/simple',
  })
  expect(stderr).toContain(
    `No answer from https://index.test/simple/six/: The proxy ${withoutTls()} cannot be reached: wrong version number\n\n`,
  )
  expect(stderr).toMatch(/hint: .*HTTPS_PROXY.*It speaks plain HTTP: write `http:\/\/` there/)
  expect(status).toBe(5)
})

test.each([
  ['a registry', ['tags', `${NOWHERE}/a`] as const],
  ['a package index', ['resolve', 'six==1.16.0'] as const],
  ['an archive', ['plan'] as const],
])('%s on a host that does not exist is not worth a retry', async (_, args) => {
  await projectWithArchive(NOWHERE)
  const { status, stderr } = await run(args, { UV_DEFAULT_INDEX: `https://${NOWHERE}/simple` })
  expect(stderr).toContain('error[HOST_NOT_FOUND]')
  expect(stderr).toMatch(/hint: .*how it is spelled.*HTTPS_PROXY/)
  expect(status).toBe(3)
})
