import { describe, expect, it } from 'vitest'
import { diverter, parseDiversions } from '../../src/debian/diversions.ts'

describe('parseDiversions()', () => {
  it.each([
    ['', []],
    ['/bin/sh\n/bin/sh.distrib\ndash\n', [{ from: 'bin/sh', to: 'bin/sh.distrib', by: 'dash' }]],
    [
      '/a\n/b\n:\n/c\n/d\nx\n',
      [
        { from: 'a', to: 'b', by: ':' },
        { from: 'c', to: 'd', by: 'x' },
      ],
    ],
    ['/a\n/b\n', []],
    ['a\n/b\nx\n', []],
    ['/a\n/../../etc/passwd\nx\n/c\n/d\ny\n', [{ from: 'c', to: 'd', by: 'y' }]],
    ['/\n/b\nx\n', []],
  ])('reads %j', (text, diversions) => {
    expect(parseDiversions(text)).toEqual(diversions)
  })
})

describe('diverter()', () => {
  const links = new Map([['bin', 'usr/bin']])
  const divert = diverter([{ from: 'bin/sh', to: 'bin/sh.distrib', by: 'dash' }], links)

  it('follows the links of the base on both sides', () => {
    expect(divert('usr/bin/sh', 'other')).toBe('usr/bin/sh.distrib')
  })

  it('leaves alone what is not diverted, and the files of who diverts', () => {
    expect(divert('usr/bin/sh', 'dash')).toBe('usr/bin/sh')
    expect(divert('usr/bin/bash', 'other')).toBe('usr/bin/bash')
  })
})
