import { expect, test } from 'vitest'
import { parseHtmlPage } from '../../../src/python/index/html-page.ts'

const PAGE = 'https://index.example/simple/demo/'

function filesOf(html: string): readonly string[] {
  const page = parseHtmlPage(html, PAGE)
  return page.filenames.flatMap((_, place) => page.fileAt(place)?.url ?? [])
}

test.each([
  ['a tag in capitals', '<A HREF="demo-1.0.tar.gz">x</A>', ['demo-1.0.tar.gz']],
  ['a `>` between quotes', `<a data-requires-python=">=3.8" href='demo-1.0.tar.gz'>x</a>`, ['demo-1.0.tar.gz']],
  ['a link in a comment', '<!-- <a href="old-1.0.tar.gz"> --><a href="demo-1.0.tar.gz">', ['demo-1.0.tar.gz']],
  ['another tag that begins alike', '<abbr href="no-1.0.tar.gz"><a href="demo-1.0.tar.gz">', ['demo-1.0.tar.gz']],
  ['a comment without an end', '<a href="demo-1.0.tar.gz"><!-- <a href="no-1.0.tar.gz">', ['demo-1.0.tar.gz']],
  ['a tag without an end', '<a href="demo-1.0.tar.gz"><a href="no-1.0.tar.gz"', ['demo-1.0.tar.gz']],
  ['a quote without an end', '<a href="demo-1.0.tar.gz"><a href="no-1.0.tar.gz>', ['demo-1.0.tar.gz']],
])('parseHtmlPage() reads a page with %s', (_, html, expected) => {
  expect(filesOf(html)).toEqual(expected.map((name) => PAGE + name))
})

// Each of these took time by the square of its length: half a minute for a tenth of this.
test.each(['<a ', '<!--', '<a "', '<a href="x" ', `<a '"`, '<a "\'', '<base '])(
  'parseHtmlPage() reads a page that repeats %s in one pass',
  (unit) => {
    expect(filesOf(unit.repeat(500_000))).toEqual([])
  },
)
