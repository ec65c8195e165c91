import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitFiles } from '../../../src/python/index/split-files.ts'
import { parsePage } from '../../../src/python/index/parse-page.ts'

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json'
const URL = 'https://index.example/simple/a/'

const file = (name: string, more: object = {}): object => ({
  'core-metadata': { sha256: 'aa' },
  filename: name,
  hashes: { sha256: 'bb' },
  url: `https://files.example/${name}`,
  ...more,
})

const page = (files: readonly unknown[]): object => ({ meta: { 'api-version': '1.1' }, name: 'a', files, versions: [] })

/** As Python writes it. */
function spaced(value: unknown): string {
  return JSON.stringify(value, undefined, 1)
    .replaceAll(/([[{])\n +/g, '$1')
    .replaceAll(/\n +([\]}])/g, '$1')
    .replaceAll(/,\n +/g, ', ')
    .replaceAll(/\n/g, '')
}

test('splitFiles() finds the entries of a page without reading them', () => {
  const files = [file('a-1-py3-none-any.whl'), file('a-2-py3-none-any.whl'), file('a-3.tar.gz')]
  for (const text of [JSON.stringify(page(files)), spaced(page(files))]) {
    const split = splitFiles(text)
    expect(split?.filenames).toEqual(['a-1-py3-none-any.whl', 'a-2-py3-none-any.whl', 'a-3.tar.gz'])
    expect(split?.entries.map((entry) => JSON.parse(entry) as unknown)).toEqual(files)
    expect(JSON.parse(split?.envelope ?? '')).toEqual(page([]))
  }
})

test.each([
  ['no files', page([])],
  ['a file without a name', page([file('a-1.tar.gz'), { url: 'x' }, file('a-2.tar.gz')])],
  ['a reason that looks like the end of an entry', page([file('a-1.tar.gz', { yanked: 'x},{y' }), file('a-2.tar.gz')])],
  ['the same before the name', page([{ yanked: 'x},{y', ...file('a-1.tar.gz') }, file('a-2.tar.gz')])],
  ['an escape in a name', page([file('a\\-1.tar.gz'), file('a-2.tar.gz')])],
  ['names in names', page([file('a-1.tar.gz', { more: { filename: 'x' } }), file('a-2.tar.gz')])],
])('splitFiles() leaves a page alone that it cannot split for certain: %s', (_, value) => {
  expect(splitFiles(JSON.stringify(value))).toBeUndefined()
})

test('parsePage() reads the same from a page in any layout, whatever its texts hold', () => {
  const hostile = fc.oneof(fc.string(), fc.constantFrom('},{', '"filename":"x"', '}]', '"files":[{', '\\', 'ü},{', '"'))
  const entry = fc
    .record({
      before: fc.boolean(),
      yanked: fc.oneof(fc.boolean(), hostile),
      note: fc.array(hostile, { maxLength: 3 }).map((parts) => parts.join('')),
      name: fc.oneof(fc.constantFrom('a-1-py3-none-any.whl', 'a-2.tar.gz', 'a-1-cp311-cp311-win_amd64.whl'), hostile),
    })
    .map(({ before, yanked, note, name }) =>
      before ? { note, yanked, ...file(name) } : { ...file(name), yanked, note },
    )
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 6 }), (files) => {
      const readings = [
        JSON.stringify(page(files)),
        JSON.stringify(page(files), undefined, 2),
        spaced(page(files)),
      ].map((text) => {
        const { filenames, fileAt } = parsePage(Buffer.from(text), JSON_TYPE, URL)
        return filenames.map((name, place) => [name, name.endsWith('win_amd64.whl') ? undefined : fileAt(place)])
      })
      expect(readings[0]).toEqual(readings[1])
      expect(readings[2]).toEqual(readings[1])
      expect(readings[1]?.map(([name]) => name)).toEqual(
        files.map((each) => (each as unknown as { filename: string }).filename),
      )
    }),
    { numRuns: 500 },
  )
})

test('parsePage() refuses a page that is cut off, and an entry that is damaged, with the address', () => {
  const text = JSON.stringify(page([file('a-1.tar.gz'), file('a-2.tar.gz'), file('a-3.tar.gz')]))
  for (const length of [10, 60, 150, text.length - 20, text.length - 1]) {
    expect(() => parsePage(Buffer.from(text.slice(0, length)), JSON_TYPE, URL)).toThrow(/not JSON: https:\/\/index/)
  }
  const damaged = parsePage(Buffer.from(text.replace('"hashes":{"sha256"', '"hashes":{sha256"')), JSON_TYPE, URL)
  expect(() => damaged.fileAt(0)).toThrow(/not JSON: https:\/\/index/)
  expect(damaged.fileAt(1)?.filename).toBe('a-2.tar.gz')
})
