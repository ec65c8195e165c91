import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { signEnvelope } from '../../src/attest/dsse.ts'

const folder = mkdtempSync(join(tmpdir(), 'lw-verify-'))
afterAll(() => rmSync(folder, { recursive: true }))

const guide = readFileSync(join(import.meta.dirname, '../../docs/guide/attestations.md'), 'utf8')
const statement = { subject: [{ name: 'model', digest: { sha256: 'ab'.repeat(32) } }] }

function verify(): string {
  return execFileSync(process.execPath, ['verify.mjs'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

test.each([
  ['ECDSA P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['Ed25519', () => generateKeyPairSync('ed25519')],
])("the guide's script accepts a signature by the %s key and no other", (_name, generate) => {
  writeFileSync(join(folder, 'verify.mjs'), /^```js\n(.*?)^```/ms.exec(guide)?.[1] ?? expect.unreachable())
  const [own, other] = [generate(), generate()]
  const pem = (key: typeof own): string => String(key.publicKey.export({ type: 'spki', format: 'pem' }))
  const envelope = signEnvelope(Buffer.from(JSON.stringify(statement)), 'application/vnd.in-toto+json', own.privateKey)
  writeFileSync(join(folder, 'envelope.json'), JSON.stringify(envelope))
  writeFileSync(join(folder, 'attest.pub'), pem(own))
  expect(verify()).toBe(`model sha256:${'ab'.repeat(32)}\n`)
  writeFileSync(join(folder, 'attest.pub'), pem(other))
  expect(verify).toThrow(/not signed by this key/)
})
