import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { wholeLines } from '../../src/core/whole-lines.ts'

test.each<[string, (string | Uint8Array)[], string[]]>([
  ['a line in pieces', ['/bin/sh: 1: ', 'curl: not found', '\n'], ['/bin/sh: 1: curl: not found\n']],
  ['several lines at once', ['a\nb\nc', '\n'], ['a\nb\n', 'c\n']],
  ['no end of line at the end', ['a\n', 'b'], ['a\n', 'b']],
  ['a character in pieces', [Buffer.of(0xe2, 0x82), Buffer.of(0xac, 0x0a)], ['€\n']],
  ['a character that is cut off', [Buffer.of(0x61, 0xe2, 0x82)], ['a\uFFFD']],
  ['nothing', [], []],
  ['a line without end, in pieces', ['x'.repeat(40_000), 'x'.repeat(40_000), 'y\n'], ['x'.repeat(80_000), 'y\n']],
])('wholeLines(): %s', async (_, chunks, lines) => {
  const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
  const texts: string[] = []
  for await (const text of wholeLines(stream)) texts.push(text)
  expect(texts).toEqual(lines)
})
