import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { filePathOf } from '../../src/core/file-url.ts'
import { decodePercent, fileNameOf } from '../../src/core/percent.ts'

test.each([
  ['a%20b', 'a b'],
  ['%C3%A4%2b', 'ä+'],
  ['50%off', '50%off'],
  ['%zz%41%', '%zzA%'],
  ['%C3', '%C3'],
  ['', ''],
])('decodePercent(%j)', (text, decoded) => {
  expect(decodePercent(text)).toBe(decoded)
})

test.each([
  ['https://host/a/b%20c-1.0.whl?x=/y#z', 'b c-1.0.whl'],
  ['https://host/50%off', '50%off'],
  ['https://host/a/', ''],
  ['https://host', ''],
])('fileNameOf(%j)', (url, name) => {
  expect(fileNameOf(url)).toBe(name)
  expect(fileNameOf(new URL(url))).toBe(name)
})

test('filePathOf() gives the path back, and refuses what is of another host', () => {
  expect(filePathOf(pathToFileURL('/a b/ü%.txt'))).toBe('/a b/ü%.txt')
  expect(() => filePathOf('file://host/x')).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }) as Error)
  expect(() => filePathOf('file:///a%2Fb')).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }) as Error)
})
