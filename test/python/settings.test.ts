import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import defaults from '../../src/core/defaults.json' with { type: 'json' }
import { findNetrcLogin } from '../../src/python/settings/netrc.ts'
import {
  loadIndexSettings,
  type IndexSettings,
  type ResolvedIndexSettings,
} from '../../src/python/settings/index-settings.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-settings-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const A = 'https://a.example/simple/'
const B = 'https://b.example/simple/'

describe('loadIndexSettings()', () => {
  it('asks the built-in index when nothing is set', async () => {
    const { plan, allowsPreReleases, excludeNewer } = await load({})
    expect(plan).toEqual({ indexes: [{ url: defaults.pythonIndex }], strategy: 'first-index', pins: {} })
    expect([allowsPreReleases, excludeNewer]).toEqual([false, undefined])
  })

  it.each([
    ['UV_BUILD_CONSTRAINT', { env: { UV_BUILD_CONSTRAINT: 'a.txt b.txt', PIP_BUILD_CONSTRAINT: 'c.txt' } }],
    ['PIP_BUILD_CONSTRAINT', { env: { PIP_BUILD_CONSTRAINT: 'a.txt b.txt' } }],
    ["pip's file", { files: { 'home/.config/pip/pip.conf': '[global]\nbuild-constraint =\n  a.txt\n  b.txt' } }],
  ])('takes what limits the requirements of builds from %s', async (_, input) => {
    expect((await load(input)).buildConstraints).toEqual(['a.txt', 'b.txt'])
  })

  it.each([
    [
      'flags and requirements files',
      { stated: [{ trustedHosts: ['a.example'] }], env: { PIP_TRUSTED_HOST: 'b.example' } },
    ],
    ['UV_INSECURE_HOST', { env: { UV_INSECURE_HOST: 'a.example', PIP_TRUSTED_HOST: 'b.example' } }],
    ['PIP_TRUSTED_HOST', { env: { PIP_TRUSTED_HOST: 'a.example' } }],
    ['uv.toml', { files: { 'cwd/uv.toml': 'allow-insecure-host = ["a.example"]' } }],
    ["pip's file", { files: { 'home/.config/pip/pip.conf': '[global]\ntrusted-host = a.example' } }],
  ])('takes hosts whose certificates are not checked from %s', async (_, input) => {
    expect((await load(input)).trustedHosts).toEqual(['a.example'])
  })

  it.each([
    ['a flag before all', { stated: [{ indexUrl: A }], env: { UV_INDEX_URL: B } }],
    ['UV_DEFAULT_INDEX before UV_INDEX_URL', { env: { UV_DEFAULT_INDEX: A, UV_INDEX_URL: B } }],
    ['UV_* before PIP_*', { env: { UV_INDEX_URL: A, PIP_INDEX_URL: B } }],
    ['PIP_* before files', { env: { PIP_INDEX_URL: A }, files: { 'cwd/uv.toml': `index-url = "${B}"` } }],
    [
      'the project before the user',
      { files: { 'cwd/uv.toml': `index-url = "${A}"`, 'home/.config/uv/uv.toml': `index-url = "${B}"` } },
    ],
    ['uv.toml of a folder above', { files: { 'uv.toml': `index-url = "${A}"` } }],
    ['[tool.uv] of pyproject.toml', { files: { 'cwd/pyproject.toml': `[tool.uv.pip]\nindex-url = "${A}"` } }],
    [
      "uv's files before pip's",
      {
        files: {
          'home/.config/uv/uv.toml': `index-url = "${A}"`,
          'home/.config/pip/pip.conf': `[global]\nindex-url = ${B}`,
        },
      },
    ],
    ["pip's user file", { files: { 'home/.config/pip/pip.conf': `[global]\nindex_url: ${A}` } }],
    [
      "pip's [install] before its [global]",
      { files: { 'home/.pip/pip.conf': `[install]\nindex-url = ${A}\n[global]\nindex-url = ${B}` } },
    ],
    [
      'PIP_CONFIG_FILE',
      {
        env: { PIP_CONFIG_FILE: 'FOLDER/other.conf' },
        files: { 'other.conf': `[global]\nindex-url=${A}`, 'home/.pip/pip.conf': `[global]\nindex-url = ${B}` },
      },
    ],
  ] as const)('takes %s', async (_, input) => {
    expect((await load(input)).plan.indexes).toEqual([{ url: A }])
  })

  it('ignores files when told to', async () => {
    const files = { 'cwd/uv.toml': `index-url = "${A}"`, 'home/.pip/pip.conf': `[global]\nindex-url = ${B}` }
    const { plan } = await load({ env: { UV_NO_CONFIG: '1', PIP_CONFIG_FILE: '/dev/null' }, files })
    expect(plan.indexes).toEqual([{ url: defaults.pythonIndex }])
  })

  it('asks extra indexes first, links before all, each once', async () => {
    const { plan } = await load({
      env: {
        PIP_EXTRA_INDEX_URL: `${B}  ${A} ${B}`,
        PIP_INDEX_URL: A,
        PIP_FIND_LINKS: 'wheels https://l.example/x.html',
      },
    })
    expect(plan.indexes).toEqual([
      { url: pathToFileURL(join(folder, 'cwd/wheels')).href, kind: 'flat' },
      { url: 'https://l.example/x.html', kind: 'flat' },
      { url: B },
      { url: A },
    ])
  })

  it('asks no index but links when told to', async () => {
    const { plan } = await load({ env: { PIP_NO_INDEX: 'true', PIP_FIND_LINKS: 'https://l.example/x.html' } })
    expect(plan.indexes.map(({ kind }) => kind)).toEqual(['flat'])
  })

  it("follows uv's named indexes, pins and switches", async () => {
    const toml = `
index-strategy = "unsafe-best-match"
prerelease = "allow"
exclude-newer = "2025-01-01"
[[index]]
name = "torch"
url = "${B}"
explicit = true
[[index]]
url = "${A}"
default = true
[sources]
Torch = { index = "torch" }
torchvision = [{ index = "torch", marker = "x" }]
`
    expect(await load({ files: { 'cwd/uv.toml': toml } })).toMatchObject({
      plan: {
        indexes: [{ url: B, name: 'torch', isExplicit: true }, { url: A }],
        strategy: 'unsafe-best-match',
        pins: { torch: B, torchvision: B },
      },
      allowsPreReleases: true,
      excludeNewer: '2025-01-01',
    })
  })

  it.each([
    [{ env: { UV_INDEX_STRATEGY: 'best' } }, 'Unknown index strategy: `best`'],
    [{ env: { UV_INDEX_URL: 'not a url' } }, 'Not the address of a package index'],
    [{ files: { 'cwd/uv.toml': 'index-url = ' } }, 'Not TOML'],
    [
      { files: { 'cwd/uv.toml': '[sources]\ntorch = { index = "gone" }' } },
      '`torch` is pinned to an index that is not defined: `gone`',
    ],
  ])('refuses settings that cannot be followed: %#', async (input, message) => {
    await expect(load(input)).rejects.toThrow(message)
  })
})

describe('credentials', () => {
  const basic = (text: string): object => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

  it('come from the address, and stay with its origin', async () => {
    const { plan, headers } = await load({ env: { UV_INDEX_URL: 'https://us%40er:p%3Aw@a.example/simple' } })
    expect(plan.indexes).toEqual([{ url: A }])
    expect(await headers('https://a.example/files/x.whl')).toEqual(basic('us@er:p:w'))
    expect(await headers('https://other.example/files/x.whl')).toEqual({})
    expect(await headers('http://a.example/files/x.whl')).toEqual({})
  })

  it('come from the longest common path of two indexes of one host', async () => {
    const { headers } = await load({
      env: {
        PIP_INDEX_URL: 'https://a:1@h.example/one/simple',
        PIP_EXTRA_INDEX_URL: 'https://b:2@h.example/two/simple',
      },
    })
    expect(await headers('https://h.example/one/simple/torch/')).toEqual(basic('a:1'))
    expect(await headers('https://h.example/two/simple/torch/')).toEqual(basic('b:2'))
  })

  it('come from variables of a named index', async () => {
    const { headers } = await load({
      env: { UV_INDEX: `my-index=${B}`, UV_INDEX_MY_INDEX_USERNAME: 'me', UV_INDEX_MY_INDEX_PASSWORD: 'pw' },
    })
    expect(await headers(`${B}torch/`)).toEqual(basic('me:pw'))
  })

  it('come from a command that prints a token, once', async () => {
    const env = {
      UV_INDEX: `x=${B}`,
      LAYERWRIGHT_INDEX_X_TOKEN_COMMAND: `echo run >> ${folder}/runs; echo tok$(wc -l < ${folder}/runs)`,
      PATH: process.env['PATH'],
    }
    const { headers } = await load({ env })
    expect(await Promise.all([headers(`${B}a/`), headers(`${B}b/`)])).toEqual([
      basic('__token__:tok1'),
      basic('__token__:tok1'),
    ])
  })

  it('say which index a failing command is of, not what it printed', async () => {
    const env = {
      UV_INDEX_URL: 'https://user@a.example/simple',
      LAYERWRIGHT_INDEX_TOKEN_COMMAND: 'echo s3cret; echo s3cret >&2; exit 3',
      PATH: process.env['PATH'],
    }
    const { headers } = await load({ env })
    const error: unknown = await headers(A).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'CREDENTIALS_INVALID',
      message: `The token command of the package index failed: ${A}`,
    })
    // Neither the command nor what it printed, in the message or in what caused it.
    expect(inspect(error, { depth: 9 })).not.toContain('s3cret')
    expect(error).toMatchObject({ cause: { message: 'it ended with status 3' } })
  })

  it.each([
    ['UV_KEYRING_PROVIDER', { UV_KEYRING_PROVIDER: 'subprocess' }, {}],
    ['PIP_KEYRING_PROVIDER', { PIP_KEYRING_PROVIDER: 'auto' }, {}],
    ['pip.conf', {}, { 'home/.config/pip/pip.conf': '[global]\nkeyring-provider = subprocess\n' }],
    ['uv.toml', {}, { 'home/.config/uv/uv.toml': 'keyring-provider = "subprocess"\n' }],
  ])('come from the keyring where %s wants it', async (_, more, files) => {
    const programs = join(folder, 'programs')
    await mkdir(programs, { recursive: true })
    const script = '#!/bin/sh\ntest "$1 $2 $3" = "get a.example me" && echo from-$3 && exit 0\nexit 1\n'
    await writeFile(join(programs, 'keyring'), script, { mode: 0o755 })
    const PATH = `${programs}:${process.env['PATH']}`
    const { headers } = await load({ env: { UV_INDEX_URL: 'https://me@a.example/simple', PATH, ...more }, files })
    expect(await headers(A)).toEqual(basic('me:from-me'))
    const off = { UV_INDEX_URL: 'https://me@a.example/simple', PATH, UV_KEYRING_PROVIDER: 'disabled' }
    expect(await (await load({ env: off, files })).headers(A)).toEqual(basic('me:'))
  })

  it('come from netrc', async () => {
    const { headers } = await load({
      env: { UV_INDEX_URL: A },
      files: { 'home/.netrc': 'machine a.example login me password pw' },
    })
    expect(await headers(`${A}torch/`)).toEqual(basic('me:pw'))
  })
})

describe('findNetrcLogin()', () => {
  const text = `# comment
machine one.example
  login "u s" password "p\\"w"
machine two.example login two account x password 2 # rest
macdef init
machine fake.example login f password f

default login any password d`

  it.each([
    ['one.example', { user: 'u s', password: 'p"w' }],
    ['two.example', { user: 'two', password: '2' }],
    ['fake.example', { user: 'any', password: 'd' }],
  ])('%s', (host, login) => {
    expect(findNetrcLogin(text, host)).toEqual(login)
  })

  it('answers nothing for a host that is not named', () => {
    expect(findNetrcLogin('machine a login b password c', 'x')).toBeUndefined()
  })
})

async function load({
  stated = [],
  env = {},
  files = {},
}: {
  readonly stated?: readonly IndexSettings[]
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly files?: Readonly<Record<string, string>>
}): Promise<ResolvedIndexSettings> {
  await mkdir(join(folder, 'cwd'), { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  const filled = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value?.replace('FOLDER', folder)]))
  return loadIndexSettings(stated, { env: filled, home: join(folder, 'home'), cwd: join(folder, 'cwd') })
}
