import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isBuildError } from '../../src/core/errors.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { formatPylock, readPylock, type StatedLock } from '../../src/python/formats/pylock.ts'
import { parsePyproject } from '../../src/python/formats/pyproject.ts'
import { formatRequirementsText } from '../../src/python/formats/requirements-text.ts'
import { readUvLock } from '../../src/python/formats/uv-lock.ts'
import type { LockedWheel, PythonLock } from '../../src/python/lock.ts'
import { formatRequirement } from '../../src/python/requirement.ts'
import { parseTargetPlatform, type Target } from '../../src/python/target.ts'

const target: Target = { pythonVersion: '3.11', ...parseTargetPlatform('x86_64-manylinux_2_28') }
const wheel: LockedWheel = {
  name: 'a-b',
  version: '1.0',
  filename: 'a_b-1.0-py3-none-any.whl',
  url: 'https://files.example/a_b-1.0-py3-none-any.whl',
  sha256: 'ab'.repeat(32),
  sizeBytes: 123,
  index: 'https://index.example/simple/',
  requested: true,
  extras: ['x'],
  dependencies: ['c'],
  uploadTime: '2025-01-02T03:04:05.678901Z',
}
const direct: LockedWheel = {
  name: 'c',
  version: '2.0+cu128',
  filename: 'c-2.0+cu128-cp311-cp311-manylinux_2_28_x86_64.whl',
  url: 'https://files.example/c-2.0%2Bcu128-cp311-cp311-manylinux_2_28_x86_64.whl',
  sha256: 'cd'.repeat(32),
  sizeBytes: 456,
  requested: false,
  dependencies: [],
}
const lock: PythonLock = { target, packages: [wheel, direct] }

describe('pylock.toml', () => {
  it('gives the same wheels after reading', () => {
    const read = readPylock(formatPylock(lock), 'pylock.toml', { target })
    // PEP 751 does not say what was asked for, nor fractions below a millisecond.
    const { extras: _, ...rest } = wheel
    expect(read.packages).toEqual([{ ...rest, requested: false, uploadTime: '2025-01-02T03:04:05.678Z' }, direct])
  })

  it('chooses by marker and by the tags of the target', () => {
    const text = `lock-version = "1.0"
created-by = "x"
extras = ["web"]
[[packages]]
name = "a"
version = "1.0"
marker = "python_version < '3.11'"
wheels = [{ url = "https://e.example/a-1.0-py3-none-any.whl", size = 1, hashes = { sha256 = "${'0'.repeat(64)}" } }]
[[packages]]
name = "a"
version = "2.0"
marker = "python_version >= '3.11'"
wheels = [
  { url = "https://e.example/a-2.0-cp311-cp311-win_amd64.whl", size = 1, hashes = { sha256 = "${'1'.repeat(64)}" } },
  { url = "https://e.example/a-2.0-cp311-cp311-manylinux_2_17_x86_64.whl", size = 2, hashes = { sha256 = "${'2'.repeat(64)}" } },
  { url = "https://e.example/a-2.0-py3-none-any.whl", size = 3, hashes = { sha256 = "${'3'.repeat(64)}" } },
]
[[packages]]
name = "web"
version = "1"
marker = "'web' in extras"
wheels = [{ url = "https://e.example/web-1-py3-none-any.whl", size = 1, hashes = { sha256 = "${'0'.repeat(64)}" } }]
`
    const names = (extras: readonly string[]): readonly string[] =>
      readPylock(text, 'pylock.toml', { target, extras }).packages.map(({ filename }) => filename)
    expect(names([])).toEqual(['a-2.0-cp311-cp311-manylinux_2_17_x86_64.whl'])
    expect(names(['web'])).toEqual(['a-2.0-cp311-cp311-manylinux_2_17_x86_64.whl', 'web-1-py3-none-any.whl'])
  })

  it('reads wheels by path, and wheels without a size, as pip writes them', () => {
    const text = `lock-version = "1.0"
[[packages]]
name = "a"
version = "1.0"
[[packages.wheels]]
name = "a-1.0-py3-none-any.whl"
path = "wheels/a-1.0-py3-none-any.whl"
[packages.wheels.hashes]
sha256 = "${'1'.repeat(64)}"
`
    const [found] = readPylock(text, 'pylock.toml', { target, folder: '/work/project' }).packages
    expect(found).toMatchObject({ name: 'a', url: 'file:///work/project/wheels/a-1.0-py3-none-any.whl' })
    expect(found?.sizeBytes).toBeUndefined()
  })

  it.each([
    ['extras = ["web"]', { extras: ['gpu'] }, 'it has no extra `gpu`'],
    ['dependency-groups = ["dev"]', { groups: ['x'] }, 'it has no dependency group `x`'],
    ['', { extras: ['gpu'] }, 'it has no extra `gpu`'],
  ])('refuses what it knows nothing of: %s', (line, selection, message) => {
    const read = (): unknown => readPylock(`lock-version = "1.0"\n${line}`, 'pylock.toml', { target, ...selection })
    expect(thrown(read)).toMatchObject({ code: 'PROJECT_INVALID', message: expect.stringContaining(message) as string })
  })

  it.each([
    ['created-by = "x"', 'PROJECT_INVALID', 'it has no lock-version'],
    ['lock-version = "2.0"', 'PROJECT_INVALID', 'its lock-version is 2.0, not 1.x'],
    ['lock-version = ', 'PROJECT_INVALID', 'pylock.toml:1'],
    [
      'lock-version = "1.0"\nrequires-python = ">=3.12"',
      'LOCK_STALE',
      'made for another environment than Python 3.11.0 on x86_64',
    ],
    [
      'lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1"\nvcs = { type = "git" }',
      'NOT_SUPPORTED',
      'locks `a` as vcs',
    ],
    [
      `lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1"\nwheels = [{ url = "https://e.example/a-1-cp39-cp39-win32.whl", size = 1, hashes = { sha256 = "00" } }]`,
      'WHEEL_NOT_FOUND',
      'names no wheel that fits for `a` 1',
    ],
  ])('refuses %j', (text, code, message) => {
    expect(thrown(() => readPylock(text, 'pylock.toml', { target }))).toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    })
  })
})

describe('readUvLock()', () => {
  const read = async (
    options: {
      readonly extras?: readonly string[]
      readonly groups?: readonly string[]
      readonly python?: string
    } = {},
  ): Promise<StatedLock> => {
    const text = await readFile(join(packageRoot(), 'fixtures/python/locks/uv.lock'), 'utf8')
    return readUvLock(text, 'uv.lock', { ...options, target: { ...target, pythonVersion: options.python ?? '3.11' } })
  }

  it('follows the fork and the markers of the target', async () => {
    const { packages } = await read()
    const names = packages.map(({ name }) => name)
    expect(names).toContain('httptools')
    expect(names).not.toContain('colorama')
    expect(names).not.toContain('exceptiongroup')
    expect(names).not.toContain('demo')
    expect(packages.find(({ name }) => name === 'numpy')).toMatchObject({
      version: '2.4.6',
      filename: expect.stringMatching(/cp311-cp311-.*manylinux.*x86_64/) as string,
      requested: true,
      index: 'https://index.example/simple/',
    })
    expect(packages.find(({ name }) => name === 'uvicorn')).toMatchObject({ extras: ['standard'], requested: true })
    expect(packages.find(({ name }) => name === 'anyio')).toMatchObject({ requested: false })
  })

  it('takes the other fork for an older Python', async () => {
    const { packages } = await read({ python: '3.10' })
    expect(packages.find(({ name }) => name === 'numpy')?.version).toBe('1.26.4')
    expect(packages.map(({ name }) => name)).toContain('exceptiongroup')
  })

  it('adds extras and groups of the project', async () => {
    const names = (await read({ extras: ['web'], groups: ['dev'] })).packages
      .filter(({ requested }) => requested)
      .map(({ name }) => name)
    expect(names).toEqual(['click', 'numpy', 'pillow', 'starlette', 'uvicorn'])
  })

  it('follows extras that exclude each other', () => {
    const torch = (version: string, extra: string): string => `
[[package]]
name = "torch"
version = "${version}"
source = { registry = "https://index.example/${extra}" }
resolution-markers = ["extra == 'extra-4-demo-${extra}'"]
wheels = [{ url = "https://e.example/torch-${version}-py3-none-any.whl", hash = "sha256:${'1'.repeat(64)}" }]
`
    const edge = (version: string, extra: string): string =>
      `${extra} = [{ name = "torch", version = "${version}", marker = "extra == 'extra-4-demo-${extra}' or (extra != 'extra-4-demo-cpu' and extra != 'extra-4-demo-gpu')" }]`
    const text = `version = 1
[[package]]
name = "demo"
version = "1"
source = { virtual = "." }
[package.optional-dependencies]
${edge('2.6.0', 'cpu')}
${edge('2.7.0', 'gpu')}
${torch('2.6.0', 'cpu')}${torch('2.7.0', 'gpu')}`
    const versions = (extras: readonly string[]): readonly string[] =>
      readUvLock(text, 'uv.lock', { target, extras }).packages.map(({ version }) => version)
    expect(versions(['cpu'])).toEqual(['2.6.0'])
    expect(versions(['gpu'])).toEqual(['2.7.0'])
    expect(versions([])).toEqual([])
  })

  it.each([
    [{ extras: ['none'] }, 'it has no extra `none`'],
    [{ groups: ['none'] }, 'it has no dependency group `none`'],
  ])('refuses what it knows nothing of: %j', async (selection, message) => {
    await expect(read(selection)).rejects.toMatchObject({
      code: 'PROJECT_INVALID',
      message: expect.stringContaining(message) as string,
    })
  })

  it('refuses another version of the format', () => {
    expect(thrown(() => readUvLock('version = 2', 'uv.lock', { target }))).toMatchObject({ code: 'PROJECT_INVALID' })
  })
})

describe('formatRequirementsText()', () => {
  it('pins every wheel by hash', () => {
    expect(formatRequirementsText(lock)).toBe(
      `a-b[x]==1.0 \\\n    --hash=sha256:${wheel.sha256}\nc @ ${direct.url} \\\n    --hash=sha256:${direct.sha256}\n`,
    )
  })
})

describe('parsePyproject()', () => {
  const text = `
[project]
name = "Demo"
requires-python = ">=3.10"
dependencies = ["torch>=2", "demo[web]"]
[project.optional-dependencies]
web = ["fastapi", "demo[json]"]
json = ["orjson"]
[dependency-groups]
test = ["pytest", { include-group = "lint" }]
lint = ["ruff"]
circle = [{ include-group = "circle" }]
`
  const names = (options: Parameters<typeof parsePyproject>[2]): readonly string[] =>
    parsePyproject(text, 'pyproject.toml', options).requirements.map(formatRequirement)

  it('gives dependencies, then extras and groups, with its own extras opened', () => {
    expect(names({})).toEqual(['torch>=2', 'fastapi', 'orjson'])
    expect(names({ extras: ['JSON'], groups: ['test'] })).toEqual([
      'torch>=2',
      'fastapi',
      'orjson',
      'orjson',
      'pytest',
      'ruff',
    ])
  })

  it.each([
    [text, { extras: ['none'] }, 'it has no extra `none`'],
    [text, { groups: ['none'] }, 'it has no dependency group `none`'],
    [text, { groups: ['circle'] }, 'include each other in a circle: circle -> circle'],
    ['[project]\nname = "x"\ndynamic = ["dependencies"]', {}, 'its dependencies are dynamic'],
    ['[project]\nname = "x"\ndependencies = "torch"', {}, '`dependencies` is no list of strings'],
    ['[project]\nname = "x"\ndependencies = ["torch=>1"]', {}, 'pyproject.toml: Expected'],
    ['[tool.x]', {}, 'it has no [project] table'],
    ['[project', {}, 'pyproject.toml:1'],
  ])('refuses what cannot be followed: %#', (toml, options, message) => {
    expect(thrown(() => parsePyproject(toml, 'pyproject.toml', options))).toMatchObject({
      code: 'PROJECT_INVALID',
      message: expect.stringContaining(message) as string,
    })
  })
})

function thrown(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return isBuildError(error) ? error : expect.unreachable(String(error))
  }
  return expect.unreachable('it should throw')
}
