import { describe, expect, it } from 'vitest'
import { normalizeName, parsePackageName } from '../../src/python/package-name.ts'
import { canonicalVersion, formatVersion, tryParseVersion } from '../../src/python/version.ts'
import { parseWheelName } from '../../src/python/wheel-name.ts'
import { differences, readCases } from './cases.ts'

interface Case {
  readonly in: {
    readonly in: string
    readonly validate?: boolean
    readonly strip_trailing_zero?: boolean
    readonly validate_order?: boolean
  }
  readonly out: unknown
}

const cases = readCases('packaging-utils') as Record<string, readonly Case[]>

describe('names of pypa/packaging.utils', () => {
  const tables: Record<string, { count: number; actual: (c: Case) => unknown }> = {
    canonicalize_name: {
      count: 29,
      actual: ({ in: q }) =>
        q.validate === true ? orRaise('InvalidName', () => parsePackageName(q.in)) : normalizeName(q.in),
    },
    canonicalize_version: { count: 14, actual: ({ in: q }) => canonical(q.in, q.strip_trailing_zero !== false) },
    parse_wheel_filename: {
      count: 26,
      actual: ({ in: q }) => orRaise('InvalidWheelFilename', () => wheel(q.in, q.validate_order === true)),
    },
  }
  it.each(Object.entries(tables))('%s', (name, { count, actual }) => {
    const table = cases[name] ?? []
    expect(table.length).toBe(count)
    expect(differences(table, (c) => c.out, actual)).toEqual([])
  })
})

function wheel(filename: string, isOrdered: boolean): unknown {
  const parsed = parseWheelName(filename)
  if (isOrdered) {
    for (const part of [parsed.pythons, parsed.abis, parsed.platforms]) {
      if (part.join() !== [...part].sort().join()) throw new RangeError('not sorted')
    }
  }
  return {
    name: parsed.name,
    version: formatVersion(parsed.version),
    build: parsed.build ?? [],
    tags: parsed.pythons
      .flatMap((python) => parsed.abis.flatMap((abi) => parsed.platforms.map((on) => `${python}-${abi}-${on}`)))
      .sort(),
  }
}

function canonical(text: string, isStripped: boolean): string {
  const version = tryParseVersion(text)
  if (version === undefined) return text
  return isStripped ? canonicalVersion(version) : formatVersion(version)
}

function orRaise(name: string, work: () => unknown): unknown {
  try {
    return work()
  } catch {
    return { raises: name }
  }
}
