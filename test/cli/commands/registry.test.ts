import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runCommandLine } from '../../../src/cli/main.ts'
import { recordIo } from '../../support/output.ts'
import { pushImage } from '../../registry/server/push.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-serve-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('registry serve prints its address, serves a folder until it is interrupted, and ends well', async () => {
  const abort = new AbortController()
  const io = recordIo({ cwd: folder, signal: abort.signal })
  const running = runCommandLine(['registry', 'serve', '--port', '0', '--storage', 'store', '--verbose'], io)
  while (io.stdout.text() === '') await new Promise((resolve) => setTimeout(resolve, 5))
  const url = io.stdout.text().trim()
  await pushImage(url, 'a', 'v1')
  abort.abort()
  expect(await running).toBe(0)
  expect(io.stderr.text()).toMatch(/^PUT \/v2\/a\/manifests\/v1 201 \d+ ms$/m)
  await expect(fetch(url)).rejects.toThrow('fetch failed')
})

test('registry serve warns when everybody gets in', async () => {
  const abort = new AbortController()
  const io = recordIo({ cwd: folder, signal: abort.signal })
  const running = runCommandLine(['registry', 'serve', '--port', '0', '--host', '0.0.0.0'], io)
  while (io.stdout.text() === '') await new Promise((resolve) => setTimeout(resolve, 5))
  abort.abort()
  expect(await running).toBe(0)
  expect(io.stderr.text()).toContain('warning: everybody')
})

test.each([
  [['--port', 'x'], 2, 'Not a port: `x`'],
  [['--port', '70000'], 2, 'Not a port'],
  [['--idle-timeout', '5'], 2, 'Not a length of time: `5`'],
  [['--idle-timeout', '0.5s'], 2, '--idle-timeout must be from 1s to 24d: `0.5s`'],
  [['--tls-cert', 'a.pem'], 2, 'HTTPS needs both'],
  [['--tls-client-ca', 'registry.test.ts'], 1, 'Cannot read `registry.test.ts`'],
  [['--tls-cert', 'a.pem', '--tls-key', 'a.pem'], 1, 'Cannot read `a.pem`'],
  [['--htpasswd', 'absent'], 1, 'Cannot read the password file'],
])('registry serve %j is refused', async (args, status, message) => {
  const io = recordIo({ cwd: folder })
  expect(await runCommandLine(['registry', 'serve', ...args], io)).toBe(status)
  expect(io.stderr.text()).toContain(message)
})
