import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'smol-toml'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import defaults from '../../src/core/defaults.json' with { type: 'json' }
import { isBuildError } from '../../src/core/errors.ts'
import { makeHttp } from '../../src/core/http.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { parseRequirements } from '../../src/python/input/requirements-file.ts'
import type { PythonLock } from '../../src/python/lock.ts'
import { resolvePython } from '../../src/python/resolve-python.ts'
import { parseTargetPlatform } from '../../src/python/target.ts'
import { hasCommand, mustRun, runCommand } from '../support/command.ts'
import { RESOLVE_SETS, type ResolveSet } from './resolve-sets.ts'

interface RecordedSet {
  readonly id: string
  readonly target: { readonly python: string; readonly platform: string; readonly exclude_newer: string }
  readonly input: Readonly<Record<string, string>>
  readonly expected: {
    readonly status: 'ok' | 'fail'
    readonly reason?: string
    readonly wheels?: Readonly<Record<string, WheelAnswer>>
  }
}

interface WheelAnswer {
  readonly file: string
  readonly sha256: string
  readonly size: number
}

const hasUv = await hasCommand('uv')
const http = makeHttp()
const indexes = { indexes: [{ url: defaults.pythonIndex }], strategy: 'first-index' as const, pins: {} }
const EXCLUDE_NEWER = '2026-11-01T00:00:00Z'

const recorded: readonly RecordedSet[] = await readRecorded()

describe('resolvePython() agrees with the recorded answers of uv, wheel for wheel', () => {
  it('there are ten', () => {
    expect(recorded.length).toBe(10)
  })

  it.each(recorded.map((set) => [set.id, set] as const))('%s', async (_, set) => {
    const { requirements } = await parseRequirements(set.input['requirements.txt'] ?? '', 'requirements.txt', {
      cwd: '/',
      env: {},
      http,
    })
    const lock = resolvePython(
      {
        target: { pythonVersion: set.target.python, ...parseTargetPlatform(set.target.platform) },
        requirements,
        indexes,
        excludeNewer: set.target.exclude_newer,
      },
      { http },
    )
    if (set.expected.status === 'fail') {
      expect(codeOf(await lock.catch((error: unknown) => error))).toBe(
        set.expected.reason === 'conflict' ? 'RESOLVE_CONFLICT' : 'WHEEL_NOT_FOUND',
      )
      return
    }
    const { packages } = await lock
    const wheels: Record<string, WheelAnswer> = Object.fromEntries(
      packages.map(({ name, filename, sha256, sizeBytes }) => [name, { file: filename, sha256, size: sizeBytes }]),
    )
    if (isDeepStrictEqual(wheels, set.expected.wheels)) return
    // The index lists files that it did not list when the answer was recorded, with times before the limit: what holds
    // then is the answer that the same uv gives today.
    expect(hasUv, `uv is needed: ${JSON.stringify(wheels)} is not what was recorded`).toBe(true)
    const today = await askUvForWheels(set)
    expect(Object.keys(wheels).sort()).toEqual(Object.keys(today).sort())
    for (const [name, wheel] of Object.entries(wheels)) expect(today[name]).toContainEqual(wheel)
  })
})

/** Every wheel that uv allows for each package of a recorded set. */
async function askUvForWheels({ input, target }: RecordedSet): Promise<Record<string, readonly WheelAnswer[]>> {
  const options = ['--no-build', '--no-config', '--no-header', '--no-python-downloads', '--quiet']
  const where = ['--python-version', target.python, '--python-platform', target.platform]
  const limits = ['--exclude-newer', target.exclude_newer, '--format', 'pylock.toml']
  // uv knows no continuation inside a requirement.
  const text = (input['requirements.txt'] ?? '').replaceAll(/\\\n\s*/g, ' ')
  const { stdout } = await mustRun('uv', ['pip', 'compile', '-', ...where, ...limits, ...options], { input: text })
  const { packages } = parse(stdout) as unknown as {
    readonly packages: readonly {
      readonly name: string
      readonly wheels: readonly {
        readonly url: string
        readonly size: number
        readonly hashes: { readonly sha256: string }
      }[]
    }[]
  }
  return Object.fromEntries(
    packages.map(({ name, wheels }) => [
      name,
      wheels.map(({ url, size, hashes: { sha256 } }) => ({
        file: decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? ''),
        sha256,
        size,
      })),
    ]),
  )
}

describe.skipIf(!hasUv)('resolvePython() agrees with the installed uv on sets of our own', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'layerwright-resolve-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(RESOLVE_SETS.map((set) => [set.name, set] as const))('%s', async (_, set) => {
    const [theirs, ours] = await Promise.all([askUv(set, folder), askOurs(set)])
    expect(ours).toEqual(theirs)
  })
})

type Answer = readonly string[] | 'unsatisfiable'

async function askOurs(set: ResolveSet): Promise<Answer> {
  const requirementsOf = async (
    lines: readonly string[],
  ): Promise<Awaited<ReturnType<typeof parseRequirements>>['requirements']> =>
    (await parseRequirements(lines.join('\n'), 'set', { cwd: '/', env: {}, http })).requirements
  try {
    const lock: PythonLock = await resolvePython(
      {
        target: {
          pythonVersion: set.python ?? '3.11',
          ...parseTargetPlatform(set.platform ?? 'x86_64-manylinux_2_28'),
        },
        requirements: await requirementsOf(set.requirements),
        constraints: await requirementsOf(set.constraints ?? []),
        indexes,
        excludeNewer: EXCLUDE_NEWER,
        allowsPreReleases: set.pre === true,
      },
      { http },
    )
    return lock.packages.map(({ name, version }) => `${name}==${version}`).sort()
  } catch (error) {
    if (/^(RESOLVE_CONFLICT|WHEEL_NOT_FOUND|PACKAGE_NOT_FOUND)$/.test(String(codeOf(error)))) return 'unsatisfiable'
    throw error
  }
}

async function askUv(set: ResolveSet, folder: string): Promise<Answer> {
  const constraints = join(folder, `${set.name.replaceAll(' ', '-')}.txt`)
  await writeFile(constraints, (set.constraints ?? []).join('\n'))
  const options = ['--no-build', '--no-config', '--no-header', '--no-annotate', '--no-python-downloads', '--quiet']
  const target = [
    '--python-version',
    set.python ?? '3.11',
    '--python-platform',
    set.platform ?? 'x86_64-manylinux_2_28',
  ]
  const preReleases = set.pre === true ? ['--prerelease', 'allow'] : []
  const limits = ['--exclude-newer', EXCLUDE_NEWER, '--constraints', constraints]
  const args = ['pip', 'compile', '-', ...target, ...limits, ...options, ...preReleases]
  const { status, stdout, stderr } = await runCommand('uv', args, { input: set.requirements.join('\n') })
  if (status === 0)
    return stdout
      .split('\n')
      .filter((line) => /^[a-z0-9]/.test(line))
      .sort()
  if (/No solution found|not found in the package registry/.test(stderr)) return 'unsatisfiable'
  throw new Error(stderr)
}

function codeOf(value: unknown): unknown {
  return isBuildError(value) ? value.code : value
}

async function readRecorded(): Promise<readonly RecordedSet[]> {
  const folder = join(packageRoot(), 'fixtures/python/resolutions')
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort()
  return Promise.all(files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as RecordedSet))
}
