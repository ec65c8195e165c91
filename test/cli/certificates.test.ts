import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/main.ts'
import { recordIo } from '../support/output.ts'

let folder: string
let server: Server
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'certificates-'))
  const tls = (name: string): Promise<Buffer> => readFile(new URL(`../../fixtures/tls/${name}`, import.meta.url))
  const [key, cert] = await Promise.all([tls('server.key'), tls('server.crt')])
  server = createServer({ key, cert }, (_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await writeFile(
    join(folder, 'run.py'),
    'from cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self) -> str: ...\n',
  )
  await writeFile(join(folder, 'cog.yaml'), projectWithKeyAt(host()))
})
afterAll(async () => {
  server.close()
  await rm(folder, { recursive: true, force: true })
})

const host = (): string => `localhost:${(server.address() as AddressInfo).port}`

const projectWithKeyAt = (place: string): string => `build:
  python_version: "3.11"
  system_packages: [one-of-theirs]
  apt_sources:
    - url: https://${place}/debian
      suite: stable
      components: [main]
      key: {url: "https://${place}/key.asc", sha256: "${'0'.repeat(64)}"}
run: run.py:Runner
`

test.each([
  ['a registry', () => ['tags', `${host()}/a`]],
  ['a package index', () => ['resolve', 'six==1.16.0']],
  ['an archive', () => ['plan']],
])('%s with a certificate that is not trusted is not worth a retry', async (_, args) => {
  const env = { LAYERWRIGHT_CACHE: join(folder, 'store'), UV_DEFAULT_INDEX: `https://${host()}/simple`, HOME: folder }
  const io = recordIo({ cwd: folder, env })
  expect(await runCommandLine(args(), io)).toBe(5)
  expect(io.stderr.text()).toContain('error[CERTIFICATE_INVALID]')
  expect(io.stderr.text()).toMatch(/hint: .*SSL_CERT_FILE or NODE_EXTRA_CA_CERTS/)
})
