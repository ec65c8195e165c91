import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isBuildError } from '../../src/core/errors.ts'
import { makeHttp, type Http } from '../../src/core/http.ts'
import { parseRequirement } from '../../src/python/requirement.ts'
import { resolvePython } from '../../src/python/resolve-python.ts'
import { parseTargetPlatform } from '../../src/python/target.ts'
import { readCases } from './cases.ts'
import { startIndex, type IndexedFile, type LoopbackIndex } from './loopback-index.ts'

interface Scenario {
  readonly name: string
  readonly root: { readonly requires: readonly string[]; readonly requires_python?: string }
  readonly expected: { readonly satisfiable: boolean; readonly packages?: Readonly<Record<string, string>> }
  readonly environment?: { readonly python?: string }
  readonly resolver_options?: {
    readonly universal?: boolean
    readonly prereleases?: boolean
    readonly python?: string
    readonly python_platform?: string
    readonly no_binary?: readonly string[]
  }
  readonly packages: Readonly<Record<string, { readonly versions: Readonly<Record<string, ScenarioVersion>> }>>
}

interface ScenarioVersion {
  readonly requires?: readonly string[]
  readonly requires_python?: string
  readonly extras?: Readonly<Record<string, readonly string[]>>
  readonly yanked?: boolean
  readonly wheel?: boolean
  readonly wheel_tags?: readonly string[]
  readonly sdist?: boolean
}

/** uv builds or reads a source distribution here; wheels alone cannot satisfy these, and must say so. */
const NEEDS_SOURCE: ReadonlySet<string> = new Set([
  'incompatible-python-compatible-override-available-no-wheels',
  'incompatible-python-compatible-override-no-compatible-wheels',
  'incompatible-python-compatible-override-other-wheel',
  'incompatible-python-compatible-override-unavailable-no-wheels',
  'no-binary',
  'no-wheels',
  'no-wheels-with-matching-platform',
])

const { scenarios } = readCases('packse-scenarios') as { readonly scenarios: readonly Scenario[] }
const forOneTarget = scenarios.filter(({ resolver_options: options }) => options?.universal !== true)

describe('resolvePython() solves every packse scenario for one environment', () => {
  const http: Http = makeHttp({ env: {} })
  let index: LoopbackIndex | undefined
  // One index for all: each scenario's packages carry its number in front of their name.
  beforeAll(async () => {
    index = await startIndex(
      forOneTarget.flatMap((scenario, number) => filesOf(scenario, number)),
      { metadata: 'flag' },
    )
  })
  afterAll(() => index?.close())

  it('there are 136', () => {
    expect(forOneTarget.length).toBe(136)
  })

  it.each(forOneTarget.map((scenario, number) => [scenario.name, scenario, number] as const))(
    '%s',
    async (name, scenario, number) => {
      const options = scenario.resolver_options ?? {}
      const input = {
        target: {
          pythonVersion: options.python ?? scenario.environment?.python ?? '3.12',
          ...parseTargetPlatform(options.python_platform ?? 'linux'),
        },
        requirements: scenario.root.requires.map((text) => ({ requirement: parseRequirement(prefix(text, number)) })),
        indexes: { indexes: [{ url: index?.url ?? '' }], strategy: 'first-index' as const, pins: {} },
        allowsPreReleases: options.prereleases === true,
        noBinary: (options.no_binary ?? []).map((each) => prefix(each, number)),
      }
      const lock = resolvePython(input, { http })
      if (!scenario.expected.satisfiable || NEEDS_SOURCE.has(name)) {
        const error: unknown = await lock.then(
          () => undefined,
          (reason: unknown) => reason,
        )
        expect(isBuildError(error) ? error.code : error).toMatch(
          /^(RESOLVE_CONFLICT|WHEEL_NOT_FOUND|PACKAGE_NOT_FOUND)$/,
        )
        if (NEEDS_SOURCE.has(name)) expect(isBuildError(error) ? error.code : error).toBe('WHEEL_NOT_FOUND')
        return
      }
      const { packages } = await lock
      const pins = Object.fromEntries(packages.map((each) => [each.name.replace(/^s\d+-/, ''), each.version]))
      expect(pins).toEqual(scenario.expected.packages ?? pins)
    },
  )
})

function filesOf(scenario: Scenario, number: number): readonly IndexedFile[] {
  return Object.entries(scenario.packages).flatMap(([name, { versions }]) =>
    Object.entries(versions).flatMap(([version, spec]) => {
      const file: IndexedFile = {
        name: prefix(name, number),
        version,
        requires: (spec.requires ?? []).map((text) => prefix(text, number)),
        ...(spec.requires_python === undefined ? {} : { requiresPython: spec.requires_python }),
        extras: Object.fromEntries(
          Object.entries(spec.extras ?? {}).map(([extra, texts]) => [extra, texts.map((text) => prefix(text, number))]),
        ),
        yanked: spec.yanked ?? false,
      }
      const tags = spec.wheel === false ? [] : (spec.wheel_tags ?? ['py3-none-any'])
      return [...tags.map((tag) => ({ ...file, tag })), ...(spec.sdist === false ? [] : [{ ...file, sdist: true }])]
    }),
  )
}

function prefix(text: string, number: number): string {
  return `s${number}-${text}`
}
