import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { packageRoot } from '../../src/core/package-root.ts'
import { PackageRecord } from '../../src/debian/package-record.ts'
import { solve } from '../../src/debian/solver.ts'
import { indexOfLines, makeUniverse } from '../../src/debian/universe.ts'

const schema = z.object({
  indexes: z.array(z.array(z.string())),
  installed: z.array(z.string()),
  cases: z.array(z.object({ ask: z.array(z.string()), get: z.array(z.string()) })),
})

describe('solve() beside apt, over a frozen excerpt of bookworm', () => {
  const packed = readFileSync(join(packageRoot(), 'fixtures/debian/bookworm-excerpt.json.gz'))
  const { indexes, installed, cases } = schema.parse(JSON.parse(gunzipSync(packed).toString('utf8')))
  const universe = makeUniverse(indexes.map((lines) => indexOfLines('', lines)))
  const base = installed.map((line) => new PackageRecord(line, '', 0))

  it(`chooses the same packages for ${cases.length} requests`, () => {
    expect(cases.filter(({ ask }) => ask.length === 1)).toHaveLength(57)
    expect(cases.filter(({ ask }) => ask.length === 2)).toHaveLength(100)
    for (const { ask, get } of cases) {
      const chosen = solve({ packages: ask, universe, installed: base, architecture: 'amd64' })
      const names = chosen.map(({ record }) => `${record.name}=${record.version}`).sort()
      expect(names, ask.join(' ')).toEqual(get)
    }
  })

  it('chooses the same packages for both orders of a request', () => {
    for (const [index, { ask }] of cases.slice(0, 40).entries()) {
      const pair = [...ask, ...(cases[index + 1]?.ask ?? [])]
      const forward = solve({ packages: pair, universe, installed: base, architecture: 'amd64' })
      const backward = solve({ packages: pair.toReversed(), universe, installed: base, architecture: 'amd64' })
      const names = (all: typeof forward): string[] => all.map(({ record }) => record.name).sort()
      expect(names(backward), pair.join(' ')).toEqual(names(forward))
    }
  })
})
