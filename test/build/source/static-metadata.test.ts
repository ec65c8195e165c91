import { describe, expect, it } from 'vitest'
import { readBuildSystem, readStaticMetadata } from '../../../src/build/source/static-metadata.ts'
import { parseMetadata } from '../../../src/python/metadata.ts'
import { formatRequirement } from '../../../src/python/requirement.ts'

const info = (...lines: string[]): string => [...lines, '', 'The description.', 'Dynamic: Requires-Dist'].join('\n')

describe('readStaticMetadata() of PKG-INFO', () => {
  it.each([
    ['version 2.2', ['Metadata-Version: 2.2', 'Name: a', 'Version: 1'], true],
    [
      'version 2.4 with other dynamic fields',
      ['Metadata-Version: 2.4', 'Name: a', 'Version: 1', 'Dynamic: Summary'],
      true,
    ],
    ['version 2.1, which promises nothing', ['Metadata-Version: 2.1', 'Name: a', 'Version: 1'], false],
    ['version 1.0', ['Metadata-Version: 1.0', 'Name: a', 'Version: 1'], false],
    ['dynamic requirements', ['Metadata-Version: 2.2', 'Name: a', 'Version: 1', 'Dynamic: Requires-Dist'], false],
    [
      'a dynamic field in lower case',
      ['Metadata-Version: 2.3', 'Name: a', 'Version: 1', 'dynamic: requires-python'],
      false,
    ],
  ])('%s', (_, lines, isStatic) => {
    expect(readStaticMetadata({ pkgInfo: info(...lines) }, 'a') !== undefined).toBe(isStatic)
  })
})

describe('readStaticMetadata() of a [project] table', () => {
  it('states name, version, Python, requirements and extras', () => {
    const pyproject = [
      '[project]',
      'name = "A.b"',
      'version = "1.5"',
      'requires-python = ">=3.9"',
      'dependencies = ["six>1", "x; sys_platform == \'linux\'"]',
      '[project.optional-dependencies]',
      'fast = ["numpy", "y[z] ; python_version < \'4\' or os_name == \'nt\'"]',
    ].join('\n')
    const metadata = parseMetadata(readStaticMetadata({ pyproject }, 'a') ?? '', 'a')
    expect(metadata.name).toBe('a-b')
    expect(metadata.providesExtra).toEqual(['fast'])
    expect(metadata.requiresDist.map(({ requirement }) => formatRequirement(requirement))).toEqual([
      'six>1',
      'x; sys_platform == "linux"',
      'numpy; extra == "fast"',
      'y[z]; (python_version < "4" or os_name == "nt") and extra == "fast"',
    ])
  })

  it.each([
    ['a dynamic version', 'name = "a"\ndynamic = ["version"]'],
    ['dynamic dependencies', 'name = "a"\nversion = "1"\ndynamic = ["dependencies"]'],
    ['dynamic extras', 'name = "a"\nversion = "1"\ndynamic = ["optional-dependencies"]'],
    ['a requirement that cannot be read', 'name = "a"\nversion = "1"\ndependencies = ["not a requirement!"]'],
    ['no version', 'name = "a"'],
  ])('leaves %s to the backend', (_, lines) => {
    expect(readStaticMetadata({ pyproject: `[project]\n${lines}` }, 'a')).toBeUndefined()
  })
})

describe('readBuildSystem()', () => {
  it.each([
    ['no file', undefined, 'setuptools.build_meta:__legacy__', ['setuptools>=40.8.0']],
    ['no table', '[tool.black]\n', 'setuptools.build_meta:__legacy__', ['setuptools>=40.8.0']],
    [
      'requirements alone',
      '[build-system]\nrequires = ["setuptools", "cython"]',
      'setuptools.build_meta:__legacy__',
      ['setuptools', 'cython'],
    ],
    [
      'a backend',
      '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"',
      'flit_core.buildapi',
      ['flit_core'],
    ],
  ])('%s', (_, pyproject, backend, requires) => {
    expect(readBuildSystem({ pyproject }, 'a')).toMatchObject({ backend, requires })
  })

  it('refuses a table without requirements, as PEP 518 does', () => {
    expect(() => readBuildSystem({ pyproject: '[build-system]\n' }, 'a 1.0')).toThrow(/pyproject\.toml of a 1\.0/)
  })
})
