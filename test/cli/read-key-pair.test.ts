import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readKeyPair } from '../../src/cli/read-key-pair.ts'
import { warnOfEnd } from '../../src/cli/watch-key-pair.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'

const fixture = (name: string): Promise<string> =>
  readFile(new URL(`../../fixtures/tls/${name}`, import.meta.url), 'utf8')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'key-pair-'))
  const [ca, server, key] = await Promise.all(['ca.crt', 'server.crt', 'server.key'].map(fixture))
  const encoding = { type: 'pkcs8', format: 'pem' } as const
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const files: Readonly<Record<string, string>> = {
    'server.crt': server ?? '',
    'server.key': key ?? '',
    'chain.crt': `${server}${ca}`,
    'wrong-order.crt': `${ca}${server}`,
    'cut.crt': `${server}${ca?.slice(0, 300)}`,
    'other.key': privateKey.export(encoding) as string,
    'secret.key': privateKey.export({ ...encoding, cipher: 'aes-256-cbc', passphrase: 'hello' }) as string,
    empty: '',
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
})
afterAll(() => rm(folder, { recursive: true }))

test.each(['server.crt', 'chain.crt'])('readKeyPair() takes %s with its key', async (tlsCert) => {
  const pair = await readKeyPair({ tlsCert, tlsKey: 'server.key' }, folder)
  expect(String(pair?.cert)).toBe(await readFile(join(folder, tlsCert), 'utf8'))
  expect(String(pair?.key)).toBe(await fixture('server.key'))
  expect(pair?.endsAtMs).toBe(Date.parse('2126-10-30T14:19:32Z'))
})

test('readKeyPair() has nothing to read', async () => {
  expect(await readKeyPair({}, folder)).toBeUndefined()
})

test.each([
  ['server.crt', 'other.key', 'INPUT_INVALID', 'The key is not that of the certificate: `other.key` and `server.crt`'],
  ['wrong-order.crt', 'server.key', 'INPUT_INVALID', 'The key is not that of the certificate'],
  ['cut.crt', 'server.key', 'INPUT_INVALID', 'OpenSSL does not take the certificate: `cut.crt`'],
  ['empty', 'server.key', 'INPUT_INVALID', 'There is no certificate in the file: `empty`'],
  ['server.key', 'server.key', 'INPUT_INVALID', 'There is no certificate in the file: `server.key`'],
  ['server.crt', 'server.crt', 'INPUT_INVALID', 'There is no private key in the file: `server.crt`'],
  ['server.crt', 'secret.key', 'INPUT_INVALID', 'The key has a passphrase'],
  ['server.crt', 'absent', 'FILE_UNREADABLE', 'Cannot read `absent`'],
])('readKeyPair() refuses %s with %s', async (tlsCert, tlsKey, code, message) => {
  const error: unknown = await readKeyPair({ tlsCert, tlsKey }, folder).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code, message: expect.stringContaining(message) as unknown })
  if (code === 'INPUT_INVALID') expect(error).toHaveProperty('hint', expect.stringMatching(/./))
})

test('warnOfEnd() tells of a certificate that has ended', () => {
  const events: ProgressEvent[] = []
  const pair = { cert: Buffer.of(), key: Buffer.of(), endsAtMs: Date.parse('2026-11-26T00:00:00Z') }
  const report = (event: ProgressEvent): void => void events.push(event)
  warnOfEnd(pair, 'tls.crt', report, pair.endsAtMs - 1)
  expect(events).toEqual([])
  warnOfEnd(pair, 'tls.crt', report, pair.endsAtMs)
  expect(events).toMatchObject([{ level: 'warning', text: expect.stringContaining('ended on 2026-11-26') as unknown }])
})
