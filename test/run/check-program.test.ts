import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { assertProgram } from '../../src/run/check-program.ts'
import { assertFreePort, freePort } from '../../src/run/predict/local-http.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'

const folder = mkdtempSync(join(tmpdir(), 'lw-program-'))
afterAll(() => removeTree(folder))

const put = (path: string, bytes: string | Buffer): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), bytes, { mode: 0o755 })
}
put('bin/plain', 'no magic')
put('bin/script', '#!/bin/plain -x\n')
put('bin/orphan', '#! /usr/bin/missing -x\n')
put('bin/env-script', '#!env\n')
put('bin/static', elf())
put('bin/dynamic', elf('/lib/ld.so'))
put('bin/musl', elf('/lib/ld-musl.so'))
put('bin/cut', elf('/lib/ld-musl.so').subarray(0, 40))
put('lib/ld.so', 'loader')
symlinkSync('/bin', join(folder, 'sbin'))

const check = (name: string, mounts: readonly string[] = []): void =>
  assertProgram(
    { args: [name], env: ['PATH=/sbin:/opt/bin'], cwd: '/bin', uid: 0, gid: 0, additionalGids: [] },
    { folders: [folder], mounts },
  )

describe('assertProgram()', () => {
  test.each(['plain', '/sbin/plain', './plain', 'script', 'env-script', 'static', 'dynamic', 'cut'])('%s', (name) => {
    expect(() => check(name)).not.toThrow()
  })

  test.each([
    ['nosuch', 'The image has no such program: `nosuch`', 'PATH of the container: /sbin:/opt/bin'],
    ['/usr/nosuch', 'The image has no such program: `/usr/nosuch`', 'one inside the image'],
    ['/bin', 'The image has no such program: `/bin`', 'one inside the image'],
    ['orphan', '`orphan` needs a program that the image does not have: `/usr/bin/missing`', 'interpreter'],
    ['musl', '`musl` needs a program that the image does not have: `/lib/ld-musl.so`', 'loader'],
  ])('%s is told', (name, message, hint) => {
    const error = expect.objectContaining({ code: 'RUN_FAILED', message, hint: expect.stringContaining(hint) })
    expect(() => check(name)).toThrowError(error)
  })

  test.each(['/opt/bin', '/opt', '/usr/bin'])('what may lie in a mount at %s is left to the runtime', (mount) => {
    if (mount !== '/usr/bin') expect(() => check('nosuch', [mount])).not.toThrow()
    else expect(() => check('orphan', [mount])).not.toThrow()
  })
})

describe('assertFreePort()', () => {
  test('passes a free port, and tells of one that somebody listens on without a word', async () => {
    const port = await freePort()
    await assertFreePort(port, '127.0.0.1')
    const server = createServer(() => {})
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    try {
      const error = { code: 'RUN_FAILED', message: `Something else listens on port ${port}` }
      await expect(assertFreePort(port, '127.0.0.1')).rejects.toMatchObject(error)
      await expect(assertFreePort(port, '0.0.0.0')).rejects.toMatchObject(error)
    } finally {
      server.close()
    }
  })

  test('tells of an address that is not of this machine', async () => {
    await expect(assertFreePort(await freePort(), '192.0.2.1')).rejects.toMatchObject({ code: 'USAGE' })
  })
})

/** The head of a program, with a loader if one is named. */
function elf(loader?: string): Buffer {
  const bytes = Buffer.alloc(256)
  bytes.write('\x7fELF\x02\x01\x01', 0, 'latin1')
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(loader === undefined ? 0 : 1, 56)
  bytes.writeUInt32LE(3, 64)
  bytes.writeBigUInt64LE(128n, 72)
  bytes.writeBigUInt64LE(BigInt((loader ?? '').length + 1), 96)
  bytes.write(loader ?? '', 128)
  return bytes
}
