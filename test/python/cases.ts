import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { packageRoot } from '../../src/core/package-root.ts'

/** Reads a gzipped table of `fixtures/python`. */
export function readCases(name: string): unknown {
  const path = join(packageRoot(), 'fixtures/python', `${name}.json.gz`)
  return JSON.parse(gunzipSync(readFileSync(path)).toString('utf8'))
}

/** The cases whose actual answer differs from the expected one, fit for `expect(...).toEqual([])`. */
export function differences<C>(cases: readonly C[], expected: (c: C) => unknown, actual: (c: C) => unknown): unknown[] {
  const found: unknown[] = []
  for (const each of cases) {
    const want = expected(each)
    const got = answer(() => actual(each))
    if (JSON.stringify(want) !== JSON.stringify(got)) found.push({ case: each, want, got })
  }
  return found
}

function answer(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return { threw: String(error) }
  }
}
