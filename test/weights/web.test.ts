import { expect, test } from 'vitest'
import { listWeb } from '../../src/weights/web.ts'
import type { WeightsContext } from '../../src/weights/source.ts'

const list = (url: string): ReturnType<typeof listWeb> =>
  listWeb({ kind: 'web', url, sha256: '0'.repeat(64) }, {} as WeightsContext)

test('listWeb() names a file by the end of its address', async () => {
  const { files } = await list('https://host.example/a/b%20c.bin?x=1')
  expect(files.map(({ path }) => path)).toEqual(['b c.bin'])
})

test.each(['..%2F..%2Fetc%2Fx', '%2Fetc', 'a%5Cb', '', '%2E%2E'])(
  'listWeb() refuses an address that ends with %j',
  async (end) => {
    await expect(list(`https://host.example/${end}`)).rejects.toMatchObject({ code: 'WEIGHTS_NOT_FOUND' })
  },
)
