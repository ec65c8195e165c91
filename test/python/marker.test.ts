import { describe, expect, it } from 'vitest'
import { evaluateMarker, formatMarker, parseMarker, type MarkerEnvironment } from '../../src/python/marker.ts'
import { differences, readCases } from './cases.ts'

interface MarkerCases {
  readonly meta: { readonly host_environment: MarkerEnvironment }
  readonly marker_parse: readonly {
    readonly in: string
    readonly out: { readonly valid: boolean; readonly str?: string }
  }[]
  readonly marker_evaluate: readonly {
    readonly in: {
      readonly context: string
      readonly environment_override: Record<string, unknown>
      readonly marker: string
    }
    readonly out: unknown
  }[]
}

const cases = readCases('packaging-markers') as MarkerCases

describe('parseMarker()', () => {
  it('answers as pypa/packaging for every marker of the table', () => {
    expect(cases.marker_parse.length).toBe(2278)
    expect(
      differences(
        cases.marker_parse,
        (c) => c.out,
        (c) => tryFormat(c.in),
      ),
    ).toEqual([])
  })

  it('names the column of a mistake', () => {
    expect(() => parseMarker("os_name = 'posix'")).toThrow('at column 9')
  })

  it('gives the same marker after printing', () => {
    for (const { in: text, out } of cases.marker_parse.slice(0, 400)) {
      if (out.valid) expect(parseMarker(formatMarker(parseMarker(text)))).toEqual(parseMarker(text))
    }
  })
})

describe('evaluateMarker()', () => {
  it('answers as pypa/packaging for every evaluation of the table', () => {
    expect(cases.marker_evaluate.length).toBe(84)
    const found = differences(
      cases.marker_evaluate,
      (c) => (typeof c.out === 'boolean' ? c.out : 'error'),
      (c) => evaluate(c.in),
    )
    expect(found).toEqual([])
  })
})

function evaluate(question: MarkerCases['marker_evaluate'][number]['in']): unknown {
  const { context, environment_override: override, marker } = question
  const environment = {
    ...cases.meta.host_environment,
    ...(context === 'lock_file' ? { extras: [], dependency_groups: [] } : {}),
    ...(context === 'metadata' ? { extra: '' } : {}),
    ...override,
  }
  // Recorded while pypa/packaging's own test said that the interpreter is 3.11.1+; the table does not hold that.
  if (marker === 'python_full_version < "3.12"') environment.python_full_version = '3.11.1+'
  if (override['extra'] === null) Object.assign(environment, { extra: '' })
  try {
    return evaluateMarker(parseMarker(marker), environment)
  } catch {
    return 'error'
  }
}

function tryFormat(text: string): unknown {
  try {
    return { valid: true, str: formatMarker(parseMarker(text)) }
  } catch {
    return { valid: false }
  }
}
