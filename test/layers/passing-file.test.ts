import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RemoteAccess } from '../../layers/context.ts'
import { makeOpenPassing } from '../../layers/passing-file.ts'
import { collect } from '../../src/core/bytes.ts'
import { makeHttp } from '../../src/core/http.ts'
import { makeLimiter } from '../../src/core/limits.ts'

const content = createHash('shake256', { outputLength: 3_000_000 }).update('a package').digest()
const sha256 = createHash('sha256').update(content).digest('hex')
let folder = ''
let url = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-passing-'))
  await writeFile(join(folder, 'file'), content)
  url = pathToFileURL(join(folder, 'file')).href
})
afterAll(() => rm(folder, { recursive: true }))

const limit = makeLimiter(1)
const open = (digest = sha256): Promise<RemoteAccess> =>
  makeOpenPassing({ http: makeHttp(), limit })({ url, sha256: digest, sizeBytes: content.length })
const streamed = (file: RemoteAccess, offset: number, length: number): Promise<Buffer> =>
  collect(file.stream(offset, length), content.length)

describe('makeOpenPassing()', () => {
  test('gives bytes from the start to the end, once, and proves them', async () => {
    const file = await open()
    expect(await file.read(0, 8)).toEqual(content.subarray(0, 8))
    expect(await file.read(1_500_000, 60)).toEqual(content.subarray(1_500_000, 1_500_060))
    // What has come and was not passed on can be read again.
    expect(await file.read(8, 60)).toEqual(content.subarray(8, 68))
    expect((await streamed(file, 68, 2_000_001)).equals(content.subarray(68, 2_000_069))).toBe(true)
    expect((await streamed(file, 2_000_069, 5)).equals(content.subarray(2_000_069, 2_000_074))).toBe(true)
    await expect(file.read(0, 8)).rejects.toThrow(RangeError)
    expect((await streamed(file, 2_900_000, 100_000)).equals(content.subarray(2_900_000))).toBe(true)
    await expect(file.read(content.length - 1, 2)).rejects.toThrow(RangeError)
    await file.prove?.()
    await file.close()
  })

  test('refuses another file, however often it is asked', async () => {
    const file = await open('0'.repeat(64))
    await streamed(file, 0, 1000)
    await expect(file.prove?.()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await expect(file.prove?.()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await file.close()
  })

  test('proves nothing once it is closed, and gives its place back', async () => {
    const file = await open()
    await file.read(0, 8)
    await file.close()
    await expect(file.prove?.()).rejects.toThrow(RangeError)
    const next = await open()
    await next.prove?.()
    await next.close()
  })
})
