import { describe, expect, test } from 'vitest'
import { parseAptLists } from '../../src/debian/apt-lists.ts'

const archive = { url: 'https://a.example/repo', suite: 'stable', components: ['main'], signedBy: undefined }

describe('parseAptLists()', () => {
  test.each<[string, string, unknown[]]>([
    ['a line', 'deb https://a.example/repo/ stable main', [archive]],
    [
      'components',
      'deb https://a.example/repo stable main  contrib',
      [{ ...archive, components: ['main', 'contrib'] }],
    ],
    ['a flat archive', 'deb https://a.example/repo /', [{ ...archive, suite: '/', components: [] }]],
    [
      'a key',
      'deb [ signed-by=/k.gpg arch=amd64,arm64 ] https://a.example/repo stable main',
      [{ ...archive, signedBy: { path: '/k.gpg' } }],
    ],
    ['another architecture', 'deb [arch=arm64] https://a.example/repo stable main', []],
    ['sources and comments', 'deb-src https://a.example/repo stable main\n# deb https://b.example x main\n\ndeb', []],
    ['a comment after a line', 'deb https://a.example/repo stable main # ours', [archive]],
    ['what is not asked over HTTP', 'deb cdrom:[Debian]/ stable main\ndeb file:/srv/x stable main', []],
  ])('%s in a .list', (_, text, expected) => {
    expect(parseAptLists('etc/apt/sources.list.d/x.list', text, 'amd64')).toEqual(expected)
  })

  const stanza = 'Types: deb deb-src\nURIs: https://a.example/repo/\nSuites: stable\nComponents: main\n'
  test.each<[string, string, unknown[]]>([
    ['a stanza', stanza, [archive]],
    [
      'two suites of two addresses',
      stanza.replace('stable', 'a b').replace('repo/', 'repo https://b.example'),
      [
        { ...archive, suite: 'a' },
        { ...archive, suite: 'b' },
        { ...archive, url: 'https://b.example', suite: 'a' },
        { ...archive, url: 'https://b.example', suite: 'b' },
      ],
    ],
    ['a key by its path', `${stanza}Signed-By: /k.gpg\n`, [{ ...archive, signedBy: { path: '/k.gpg' } }]],
    ['one that is off', `${stanza}Enabled: no\n`, []],
    ['sources alone', stanza.replace('deb ', ''), []],
    ['another architecture', `${stanza}Architectures: arm64\n`, []],
    ['what is no stanza', 'deb https://a.example/repo stable main\n\tx', []],
  ])('%s in a .sources', (_, text, expected) => {
    expect(parseAptLists('etc/apt/sources.list.d/x.sources', text, 'amd64')).toEqual(expected)
  })

  test('a key within a stanza', () => {
    const key = 'Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n'
    expect(parseAptLists('x.sources', stanza + key, 'amd64')).toMatchObject([
      { signedBy: { text: '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----' } },
    ])
  })
})
