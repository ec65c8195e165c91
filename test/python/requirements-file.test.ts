import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeHttp } from '../../src/core/http.ts'
import { loadRequirements, type Requirements } from '../../src/python/input/requirements-file.ts'
import { assertResolvable } from '../../src/python/input/sources.ts'
import { formatRequirement } from '../../src/python/requirement.ts'
import { parseTargetPlatform } from '../../src/python/target.ts'

const http = makeHttp({ env: {} })
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-requirements-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('loadRequirements()', () => {
  it('reads requirements as pip does', async () => {
    const { requirements } = await load({
      'requirements.txt': [
        '# a comment',
        'uvicorn[standard]==0.34.0 ; python_version >= "3.9"   # trailing',
        'requests[socks] \\',
        '    >=2.31, \\',
        '    <3',
        'joined==\\',
        '1.0',
        'after # comment \\',
        'alone',
        '   ',
        'spaced >= 1.0 , < 2',
      ].join('\r\n'),
    })
    expect(texts(requirements)).toEqual([
      'uvicorn[standard]==0.34.0; python_version >= "3.9"',
      'requests[socks]<3,>=2.31',
      'joined==1.0',
      'after',
      'spaced<2,>=1.0',
    ])
    expect(requirements.map(({ origin }) => origin)).toEqual([2, 3, 6, 8, 11].map((line) => `requirements.txt:${line}`))
  })

  it('follows nested files from the folder of the file that names them', async () => {
    const { requirements, constraints } = await load({
      'requirements.txt': '-r deps/base.txt\n--constraint=deps/limits.txt\nflask',
      'deps/base.txt': '-r more.txt\nnumpy',
      'deps/more.txt': 'pandas',
      'deps/limits.txt': 'numpy<2\n',
    })
    expect(texts(requirements)).toEqual(['pandas', 'numpy', 'flask'])
    expect(texts(constraints)).toEqual(['numpy<2'])
  })

  it('treats requirements of a constraints file as constraints, nested ones too', async () => {
    const { requirements, constraints } = await load({
      'requirements.txt': '-c a.txt',
      'a.txt': '-r b.txt\nx<1',
      'b.txt': 'y<2',
    })
    expect([texts(requirements), texts(constraints)]).toEqual([[], ['y<2', 'x<1']])
  })

  it('reads every option that speaks of the resolution', async () => {
    const { options } = await load({
      'requirements.txt': [
        '-i https://one.example/simple',
        '--index-url https://two.example/simple',
        '--extra-index-url https://three.example/simple --extra-index-url=https://four.example/',
        '-f wheels',
        '--find-links https://links.example/page.html',
        '--pre',
        '--prefer-binary',
        '--no-binary a,B_c',
        '--only-binary=:all:',
        '--trusted-host one.example',
        '--use-feature fast-deps',
        '--require-hashes',
      ].join('\n'),
    })
    expect(options).toEqual({
      indexUrl: 'https://two.example/simple',
      extraIndexUrls: ['https://three.example/simple', 'https://four.example/'],
      findLinks: [join(folder, 'wheels'), 'https://links.example/page.html'],
      noIndex: false,
      allowsPreReleases: true,
      requiresHashes: true,
      noBinary: ['a', 'b-c'],
      onlyBinary: [':all:'],
      trustedHosts: ['one.example'],
    })
  })

  it('reads hashes over several lines, and asks for them everywhere then', async () => {
    const [a, b] = ['a'.repeat(64), 'b'.repeat(96)]
    const { requirements, options } = await load({
      'requirements.txt': `numpy==1.0 \\\n  --hash=sha256:${a} \\\n  --hash sha384:${b}\n`,
    })
    expect(requirements[0]?.hashes).toEqual([`sha256:${a}`, `sha384:${b}`])
    expect(options.requiresHashes).toBe(true)
  })

  it('fills in variables that are set', async () => {
    const { options } = await load(
      { 'requirements.txt': '-i https://${USER_1}:${TOKEN}@index.example/simple\n--trusted-host ${lower}${UNSET}' },
      { USER_1: 'me', TOKEN: 's3cret', lower: 'x' },
    )
    expect(options.indexUrl).toBe('https://me:s3cret@index.example/simple')
    expect(options.trustedHosts).toEqual(['${lower}${UNSET}'])
  })

  it.each([
    ['UTF-8 with a mark', Buffer.from('\uFEFFnümpy==1.0'.replace('ü', 'u'))],
    ['UTF-16, little end first', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('numpy==1.0', 'utf16le')])],
    [
      'UTF-16, big end first',
      Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from('numpy==1.0', 'utf16le').swap16()]),
    ],
    [
      'UTF-32',
      Buffer.concat([
        Buffer.from([0xff, 0xfe, 0, 0]),
        Buffer.from('numpy==1.0', 'latin1').reduce<Buffer>(
          (all, byte) => Buffer.concat([all, Buffer.from([byte, 0, 0, 0])]),
          Buffer.alloc(0),
        ),
      ]),
    ],
    ['a coding line', Buffer.from('# -*- coding: latin-1 -*-\nnumpy==1.0 # \xe9', 'latin1')],
    ['carriage returns alone', Buffer.from('# x\rnumpy==1.0\r')],
  ])('decodes %s', async (_, bytes) => {
    const { requirements } = await load({ 'requirements.txt': bytes })
    expect(texts(requirements)).toEqual(['numpy==1.0'])
  })

  it('names wheels by path and URL', async () => {
    const { requirements } = await load({
      'requirements.txt': [
        './wheels/a_b-1.0-py3-none-any.whl[extra]',
        'https://example.org/c-2.0-py3-none-any.whl#sha256=abc ; python_version > "3"',
        'd @ https://example.org/d-3.0-py3-none-any.whl',
      ].join('\n'),
      'wheels/a_b-1.0-py3-none-any.whl': '',
    })
    const local = pathToFileURL(join(folder, 'wheels/a_b-1.0-py3-none-any.whl')).href
    expect(texts(requirements)).toEqual([
      `a-b[extra] @ ${local}`,
      'c @ https://example.org/c-2.0-py3-none-any.whl#sha256=abc ; python_version > "3"',
      'd @ https://example.org/d-3.0-py3-none-any.whl',
    ])
  })

  it.each([
    ['torch==2.0 --extra-index-url https://example.org/cu116', ['https://example.org/cu116'], []],
    ['torch==2.0 --extra-index-url=https://example.org/cu116', ['https://example.org/cu116'], []],
    [
      'torch==2.0 -i https://example.org/a --index-url=https://example.org/b',
      ['https://example.org/a', 'https://example.org/b'],
      [],
    ],
    [
      'torch==2.0 -f https://example.org/wheels --find-links=wheels',
      [],
      ['https://example.org/wheels', '(project)/wheels'],
    ],
  ])('asks the index that stands after a requirement as one more, as Cog does: %s', async (text, indexes, places) => {
    const { requirements, options } = await load({ 'requirements.txt': text })
    expect(texts(requirements)).toEqual(['torch==2.0'])
    expect(options.indexUrl).toBeUndefined()
    expect(options.extraIndexUrls).toEqual(indexes)
    expect(options.findLinks.map((place) => place.replace(folder, '(project)'))).toEqual(places)
  })

  it('sets aside what would have to be built, and refuses it by line', async () => {
    const { sources, requirements } = await load({
      'requirements.txt': [
        '-e .',
        'git+https://user:token@example.org/x.git@main#egg=x_y&subdirectory=z',
        'pkg @ git+https://example.org/pkg.git',
        './archive.tar.gz',
        'git+https://example.org/w.git ; sys_platform == "win32"',
      ].join('\n'),
      'archive.tar.gz': '',
    })
    expect(requirements).toEqual([])
    expect(sources.map(({ name, isEditable }) => [name, isEditable])).toEqual([
      [undefined, true],
      ['x-y', false],
      ['pkg', false],
      [undefined, false],
      [undefined, false],
    ])
    const target = { pythonVersion: '3.11', ...parseTargetPlatform('linux') }
    const refuse = (): void => assertResolvable(sources, target)
    expect(refuse).toThrow('requirements.txt:2: git+https://***@example.org/x.git')
    expect(refuse).not.toThrow('token')
    expect(refuse).not.toThrow('requirements.txt:5')
  })

  it.each([
    ['numpy=>1.0', 'requirements.txt:1: Expected a version specifier, a semicolon or the end at column 6'],
    ['\n\nnumpy==', 'requirements.txt:3: '],
    ['--hash=sha256:00', 'requirements.txt:1: `--hash=sha256:00` is no option of a requirements file'],
    ['numpy --hash=sha256:00', 'requirements.txt:1: Not a hash: `sha256:00`'],
    ['numpy --hash=md5:d41d8cd98f00b204e9800998ecf8427e', 'Not a hash'],
    ['numpy --frobnicate', '`--frobnicate` is no option of a requirement'],
    ['numpy --frob=https://user:word@example.org/', '`--frob=https://***@example.org/` is no option of a requirement'],
    ['--frob=https://user:word@example.org/', '`--frob=https://***@example.org/` is no option of a requirements file'],
    ['x @ https://[::1/x-1.0-py3-none-any.whl', 'Not an address: `https://[::1/x-1.0-py3-none-any.whl`'],
    ['x @ https://', 'Not an address: `https://`'],
    ['https://u:word@h:99999/x-1.0-py3-none-any.whl', 'Not an address: `https://***@h:99999/x-1.0-py3-none-any.whl`'],
    ['https://h/%zz-1.0-py3-none-any.whl', 'requirements.txt:1: '],
    ['-r file://host/x.txt', 'This address is of no file on this machine: `file://host/x.txt`'],
    ['--index-url', 'The option --index-url needs a value'],
    ['-r "open', 'A quote is not closed'],
    ['./missing.whl', 'The file does not exist'],
    ['x.whl', 'The file does not exist'],
    ['-r missing.txt', 'The requirements file cannot be read'],
    ['-r requirements.txt', 'include each other in a circle'],
  ])('refuses %j', async (text, message) => {
    await expect(load({ 'requirements.txt': text })).rejects.toThrow(message)
  })
})

async function load(
  files: Readonly<Record<string, string | Buffer>>,
  env: Readonly<Record<string, string>> = {},
): Promise<Requirements> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
  return loadRequirements(['requirements.txt'], { cwd: folder, env, http })
}

function texts(requirements: Requirements['requirements']): readonly string[] {
  return requirements.map(({ requirement }) => formatRequirement({ ...requirement, displayName: requirement.name }))
}
