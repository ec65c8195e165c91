import { expect, test } from 'vitest'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf, verify } from '../../src/core/digest.ts'

const hello = Buffer.from('hello')
const expected = { digest: digestOf(hello), size: hello.length }

test('verify() passes the expected bytes on unchanged', async () => {
  const bytes = await collect(verify(openBytes(hello)(), expected, 'the blob'), 100)
  expect(bytes.toString()).toBe('hello')
})

test('verify() refuses other bytes of the same length, naming both digests', async () => {
  const stream = verify(openBytes(Buffer.from('hellO'))(), expected, 'the blob')
  await expect(collect(stream, 100)).rejects.toMatchObject({
    code: 'DIGEST_MISMATCH',
    data: { expected: expected.digest },
  })
})

test('verify() refuses a stream that is too short and one that is too long', async () => {
  for (const text of ['hell', 'hello!']) {
    const stream = verify(openBytes(Buffer.from(text))(), expected, 'the blob')
    await expect(collect(stream, 100)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
  }
})

test('verify() stops at the first byte too many, not at the end of a stream that may have none', async () => {
  let given = 0
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    while (given < 1000) {
      given++
      yield hello
    }
  }
  await expect(collect(verify(endless(), expected, 'the blob'), 1 << 20)).rejects.toMatchObject({
    code: 'SIZE_MISMATCH',
  })
  expect(given).toBe(2)
})

test('collect() refuses more bytes than its limit', async () => {
  await expect(collect(openBytes(hello)(), 4)).rejects.toThrow(RangeError)
})
