import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SpanRecorder, type Spans } from '../../../layers/ztoc/spans.ts'
import { readParts, removeParts, Spill } from '../../../layers/ztoc/spill.ts'
import { collect, copied } from '../../../src/core/bytes.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-spans-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const WINDOW_BYTES = 32768

/** Begins spans of ten bytes, each with a window of its own. */
function begin(recorder: SpanRecorder, count: number): void {
  for (let n = 0; n < count; n++) {
    recorder.hold(Buffer.alloc(10, n))
    recorder.begin({ inBytes: n * 10, outBytes: n * 40, bits: n % 8, window: Buffer.alloc(WINDOW_BYTES, `${n}`) })
  }
}

function record(count: number, spill?: Spill): Spans {
  const recorder = new SpanRecorder(40, spill)
  begin(recorder, count)
  return recorder.finish()
}

const bytesOf = (spans: Spans): Promise<Buffer> => collect(copied(readParts(spans.checkpoints)), 2 ** 26)

test.each([1, 30, 31, 32, 62, 93, 94, 124, 125, 400])('%i checkpoints are the same, spilled or held', async (count) => {
  const [held, spilled] = [record(count), record(count, new Spill(folder))]
  expect(spilled.digests).toEqual(held.digests)
  const inMemory = spilled.checkpoints.reduce((sum, part) => sum + (part instanceof Uint8Array ? part.length : 0), 0)
  expect(inMemory).toBeLessThan(3.2e6)
  expect(await readdir(folder)).toHaveLength(count > 93 ? 1 : 0)
  const expected = await bytesOf(held)
  expect(expected.length).toBe(12 + count * (17 + WINDOW_BYTES))
  expect((await bytesOf(spilled)).equals(expected)).toBe(true)
  expect(await readdir(folder)).toEqual([])
})

test('what is given up leaves no file', async () => {
  const spill = new Spill(folder)
  begin(new SpanRecorder(40, spill), 200)
  expect(await readdir(folder)).toHaveLength(1)
  spill.close()
  expect(await readdir(folder)).toEqual([])
  await removeParts(record(200, new Spill(folder)).checkpoints)
  expect(await readdir(folder)).toEqual([])
})

test('a reader that stops in the middle leaves no file', async () => {
  for await (const _ of readParts(record(200, new Spill(folder)).checkpoints)) break
  expect(await readdir(folder)).toEqual([])
})

test('says what cannot be written, and not that the layer is damaged', async () => {
  await writeFile(join(folder, 'file'), '')
  expect(() => record(200, new Spill(join(folder, 'file')))).toThrow(
    expect.objectContaining({ code: 'FILE_UNWRITABLE' }),
  )
})
