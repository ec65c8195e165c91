import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { DiagnosticError } from '../../src/core/diagnostic.ts'
import { parseRouteTable } from '../../src/route/read-table.ts'
import { codeBlocks } from '../support/code-blocks.ts'

const TWO = `versions:
  stable: {url: http://127.0.0.1:5001, weight: 90}
  canary: {url: "https://models.example/canary/", weight: 10}
`

describe('parseRouteTable()', () => {
  test('reads versions, stickiness and a mirror', () => {
    const table = parseRouteTable(`${TWO}sticky: {header: X-User}\nmirror: {to: canary, percent: 5}\n`, 'routes.yaml')
    expect(table).toEqual({
      versions: {
        stable: { urls: [new URL('http://127.0.0.1:5001')], weight: 90 },
        canary: { urls: [new URL('https://models.example/canary/')], weight: 10 },
      },
      health: { path: '/health-check', interval_seconds: 5, timeout_seconds: 2 },
      sticky: { header: 'X-User' },
      mirror: { to: 'canary', percent: 5, max_bytes: 1 << 20 },
    })
  })

  test.each([
    ['', ['1:1 `versions` is missing']],
    ['versions: {}\n', ['1:1 No version has a weight above 0: `versions`']],
    ['versions:\n  a: {url: http://h, weight: 0}\n', ['1:1 No version has a weight above 0: `versions`']],
    ['versions:\n  a: {url: http://h, weight: -1}\n', ['2:30 A weight is 0 or more: `versions.a.weight`']],
    ['versions:\n  a: {url: http://h, weight: ten}\n', ['2:30 `versions.a.weight` must be a number']],
    ['versions:\n  a: {weight: 1}\n', ['2:3 A version has one `url`, or several `urls`: `versions.a`']],
    [
      'versions:\n  a: {url: http://h, urls: [http://i], weight: 1}\n',
      ['2:3 A version has one `url`, or several `urls`: `versions.a`'],
    ],
    [
      'versions:\n  a: {urls: [http://h, http://H/], weight: 1}\n',
      ['2:3 An address stands twice: http://h/: `versions.a`'],
    ],
    [
      'versions:\n  a: {urls: [http://h, h:80], weight: 1}\n',
      ['2:24 A server is reached by http or https; one looks like http://127.0.0.1:5000: `versions.a.urls[1]`'],
    ],
    ['versions:\n  a: {urls: http://h, weight: 1}\n', ['2:13 `versions.a.urls` must be a list']],
    [
      `${TWO}health: {path: readyz, interval_seconds: 0.01, timeout_seconds: 0}\n`,
      [
        '4:16 A path begins with `/`, and has neither spaces nor letters beyond ASCII: `health.path`',
        '4:42 An interval is 0.05 to 3600 seconds, or 0 for no checks: `health.interval_seconds`',
        '4:65 A timeout is 0.05 to 3600 seconds: `health.timeout_seconds`',
      ],
    ],
    [`${TWO}health: {intervall_seconds: 1}\n`, ['4:29 Unknown key: `health.intervall_seconds`']],
    [
      'versions:\n  a: {url: h:80, weight: 1}\n',
      ['2:12 A server is reached by http or https; one looks like http://127.0.0.1:5000: `versions.a.url`'],
    ],
    [
      'versions:\n  a: {url: "http://u:p@h", weight: 1}\n',
      ['2:12 An address here holds no user or password; one looks like http://127.0.0.1:5000: `versions.a.url`'],
    ],
    [
      'versions:\n  "a b": {url: http://h, weight: 1}\n',
      ['2:3 A version has a name of up to 63 letters, digits, `.`, `_` and `-`: `versions.a b`'],
    ],
    [
      'versions:\n  a: {url: http://h, wieght: 1}\n',
      ['2:3 `versions.a.weight` is missing', '2:30 Unknown key: `versions.a.wieght`'],
    ],
    [`${TWO}mirror: {to: canray, percent: 5}\n`, ['4:14 There is no such version: `mirror.to`']],
    [`${TWO}mirror: {to: canary, percent: 500}\n`, ['4:31 A share is 0 to 100 percent: `mirror.percent`']],
    [`${TWO}sticky: {header: a, cookie: b}\n`, ['4:1 `sticky` names one `header`, or one `cookie`']],
    [`${TWO}stikcy: {header: a}\n`, ['4:1 Unknown key: `stikcy`']],
    [
      'versions: [\n',
      ['2:1 This is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
  ])('tells what is wrong with %j, and where', (text, problems) => {
    let found: unknown
    try {
      parseRouteTable(text, 'routes.yaml')
    } catch (error) {
      found = error
    }
    expect(found).toBeInstanceOf(DiagnosticError)
    const { issues } = found as DiagnosticError
    expect(issues.map(({ line, column, message }) => `${line}:${column} ${message}`)).toEqual(problems)
  })

  test('reads several servers of a version, and how they are checked', () => {
    const text =
      'versions:\n  a: {urls: [http://h:1, http://h:2], weight: 1}\nhealth: {path: /readyz, interval_seconds: 0}\n'
    expect(parseRouteTable(text, 'routes.yaml')).toEqual({
      versions: { a: { urls: [new URL('http://h:1'), new URL('http://h:2')], weight: 1 } },
      health: { path: '/readyz', interval_seconds: 0, timeout_seconds: 2 },
    })
  })

  test('takes the file of the guide', async () => {
    const page = await readFile(new URL('../../docs/guide/versions.md', import.meta.url), 'utf8')
    const blocks = codeBlocks(page).filter(({ language }) => language === 'yaml')
    expect(blocks).toHaveLength(1)
    for (const { text } of blocks)
      expect(parseRouteTable(text, 'routes.yaml').mirror).toEqual({ to: 'canary', percent: 5, max_bytes: 1048576 })
  })

  test('tells every problem at once, with what may be meant', () => {
    const text = 'versions:\n  a: {url: nowhere, weight: -1}\nstickey: {header: a}\n'
    expect(() => parseRouteTable(text, 'routes.yaml')).toThrow(/routes.yaml:2:\d+: .*\(and 2 more\)/)
  })
})
