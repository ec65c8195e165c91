import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BuildError } from '../../src/core/errors.ts'
import { parseConfig } from '../../src/config/load.ts'

/** The code of the error, `fine` without one; anything but a BuildError is a fault of ours and passes through. */
async function outcome(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'fine'
  } catch (error) {
    if (error instanceof BuildError) return error.code
    throw error
  }
}

describe('hostile configurations end in CONFIG_INVALID', () => {
  it.each([
    ['nested lists', '['.repeat(5000)],
    ['nested mappings', Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['a million keys', Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join('\n')],
    ['a long key', `${'k'.repeat(100_000)}: 1`],
    ['many anchors', Array.from({ length: 5000 }, (_, i) => `k${i}: &a${i} [*a${Math.max(0, i - 1)}]`).join('\n')],
  ])('%s', async (_, text) => {
    expect(await outcome(() => parseConfig(text))).toBe('CONFIG_INVALID')
  })

  it('any text at all', async () => {
    const words = fc.constantFrom(
      'build',
      'run',
      'gpu',
      ': ',
      '\n',
      '  ',
      '- ',
      '&a ',
      '*a',
      '<<',
      '!x ',
      '"',
      "'",
      '[',
      ']',
      '{',
      '}',
      '|',
      '>',
      '#',
      'true',
      '3.10',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(words, { maxLength: 40 }), async (parts) => {
        expect(['fine', 'CONFIG_INVALID']).toContain(await outcome(() => parseConfig(parts.join(''))))
      }),
      { numRuns: 500 },
    )
  })
})
