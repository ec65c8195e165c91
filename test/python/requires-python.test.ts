import { describe, expect, it } from 'vitest'
import { allowsPython, targetPython } from '../../src/python/requires-python.ts'
import { parseSpecifiers } from '../../src/python/specifier.ts'

describe('allowsPython()', () => {
  it.each([
    ['>=3.8', '3.9', true],
    ['>=3.10', '3.9', false],
    ['>3.9', '3.9', false],
    ['~=3.9', '3.9', true],
    ['==3.9.*', '3.9', true],
    ['==3.10.*', '3.9', false],
    // Upper bounds are guesses.
    ['>=3.8,<3.9', '3.9', true],
    ['<=3.8', '3.9', true],
    ['==3.8.*', '3.9', true],
    // Excluded patch releases.
    ['>=3.8,!=3.9.0,!=3.9.1', '3.9', true],
    ['>=3.8,!=3.9.0,!=3.9.1', '3.9.0', false],
    ['>=3.8,!=3.9.0,!=3.9.1', '3.9.2', true],
    ['>=3.9,!=3.9.0', '3.9', false],
    ['', '3.9', true],
  ])('%s on %s: %s', (specifiers, python, expected) => {
    expect(allowsPython(parseSpecifiers(specifiers), targetPython(python))).toBe(expected)
  })
})
