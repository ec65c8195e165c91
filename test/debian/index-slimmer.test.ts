import { describe, expect, it } from 'vitest'
import { IndexSlimmer } from '../../src/debian/index-slimmer.ts'
import { LineTable } from '../../src/debian/line-table.ts'
import { indexOfLines, makeUniverse } from '../../src/debian/universe.ts'

const SHA = 'a'.repeat(64)
const stanza = (name: string, more: string = ''): string =>
  `Package: ${name}\nVersion: 1\nArchitecture: amd64\n${more}Filename: pool/${name}.deb\nSize: 7\nSHA256: ${SHA}\nDescription: x\n more\n`

function slim(text: string, chunkBytes = text.length): string[] {
  const slimmer = new IndexSlimmer('amd64')
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += chunkBytes) slimmer.push(bytes.subarray(at, at + chunkBytes))
  return Buffer.concat(slimmer.end()).toString('latin1').split('\n').slice(0, -1)
}

describe('IndexSlimmer', () => {
  const text = [stanza('a', 'depends: b,\n c\nSIZE-OF-X: 1\n'), stanza('b', 'Architecture-Variant: v\n')].join('\n')

  it('keeps the fields of each package, folded ones on one line, whatever the case of their names', () => {
    const [a, b] = slim(text)
    expect(a?.split('\t').slice(0, 6)).toEqual(['a', '1', 'amd64', 'pool/a.deb', '7', SHA])
    expect(a).toContain('\tb, c\t')
    expect(b).toMatch(/^b\t1\tamd64\t/)
  })

  it('gives the same for every cut of the bytes', () => {
    for (const chunkBytes of [1, 2, 3, 7, 64]) expect(slim(text, chunkBytes)).toEqual(slim(text))
  })

  it('leaves out other architectures and takes Windows line ends', () => {
    const other = stanza('c').replace('amd64', 'arm64')
    expect(slim(`${other}\n${stanza('d').replaceAll('\n', '\r\n')}`).map((line) => line.split('\t')[0])).toEqual(['d'])
  })

  it('keeps lines whole when a block is full', () => {
    const many = Array.from({ length: 9000 }, (_, index) => stanza(`p${index}`, `Depends: ${'x'.repeat(200)}\n`))
    const slimmer = new IndexSlimmer('amd64')
    slimmer.push(Buffer.from(many.join('\n')))
    const blocks = slimmer.end()
    expect(blocks.length).toBeGreaterThan(1)
    for (const block of blocks) expect(block.at(-1)).toBe(10)
    const universe = makeUniverse(blocks.map((block) => ({ archive: 'http://a', text: block })))
    expect(universe.candidateOf('p8999')).toMatchObject({ version: '1', archive: 'http://a' })
    expect([...universe.names()]).toHaveLength(9000)
  })

  it.each([
    ['no field', 'Package: a\nnonsense\n', 'Not a field'],
    ['no file', `Package: a\nVersion: 1\nArchitecture: amd64\nSize: 1\nSHA256: ${SHA}\n`, 'An entry without'],
    ['no digest', stanza('a').replace(SHA, 'xyz'), 'An entry without'],
    ['a file outside', stanza('a').replace('pool/a.deb', 'pool/../../etc/passwd'), 'outside of the archive'],
    ['an absolute file', stanza('a').replace('pool/a.deb', '/etc/passwd'), 'outside of the archive'],
  ])('refuses %s', (_, hostile, message) => {
    expect(() => slim(hostile)).toThrow(message)
  })
})

describe('LineTable', () => {
  const line = (name: string, fields: Partial<Record<'priority' | 'essential' | 'provides', string>> = {}): string => {
    const { priority = '', essential = '', provides = '' } = fields
    return `${name}\t1\tall\tf\t1\t${SHA}\t\t${priority}\t${essential}\t\t\t\t\t${provides}\t\t\t`
  }
  const table = new LineTable([
    indexOfLines('http://a', [
      line('mta', { provides: 'mail-transport-agent, smtp (= 1), x:any | y' }),
      line('exim', { provides: 'mail-transport-agent' }),
      line('base', { essential: 'yes', priority: 'required' }),
    ]),
    indexOfLines('http://b', [line('mta', { priority: 'required' })]),
  ])

  it('finds lines by name over all indexes', () => {
    expect(table.linesOf('mta').map(({ archive, rank }) => [archive, rank])).toEqual([
      ['http://a', 0],
      ['http://b', 1],
    ])
    expect(table.linesOf('mt')).toEqual([])
    expect([...table.names()]).toEqual(['mta', 'exim', 'base', 'mta'])
  })

  it('finds who provides a name, however it is written', () => {
    expect(table.namesOfProviders('mail-transport-agent')).toEqual(['mta', 'exim'])
    for (const name of ['smtp', 'x', 'y']) expect(table.namesOfProviders(name), name).toEqual(['mta'])
    for (const name of ['any', '1', '=']) expect(table.namesOfProviders(name), name).toEqual([])
  })

  it('knows what is required', () => {
    expect(table.namesOfRequired()).toEqual(['base', 'mta'])
  })
})
