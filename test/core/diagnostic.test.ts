import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { renderError } from '../../src/cli/render-error.ts'
import { compareDiagnostics, DiagnosticError, renderDiagnostic, type Diagnostic } from '../../src/core/diagnostic.ts'
import { renderDiagnosticReference } from '../../src/core/diagnostic-codes.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { editDistance, nearest } from '../../src/core/suggest.ts'

const issue: Diagnostic = {
  severity: 'error',
  code: 'unknown-key',
  message: 'Unknown key: `gpus`',
  file: 'cog.yaml',
  line: 12,
  column: 3,
  endColumn: 7,
  source: '  gpus: true',
  suggestion: 'gpu',
  hint: 'Try again.',
}

describe('renderDiagnostic()', () => {
  it('marks the place and ends with the hint', () => {
    expect(renderDiagnostic(issue).split('\n')).toEqual([
      'cog.yaml:12:3: error[unknown-key]: Unknown key: `gpus`',
      '   |',
      '12 |   gpus: true',
      '   |   ^^^^ did you mean `gpu`?',
      '  hint: Try again.',
    ])
  })

  it('cuts a long line around the mark', () => {
    const source = `${'x'.repeat(300)}BAD${'y'.repeat(300)}`
    const [, , line = '', mark = ''] = renderDiagnostic({ ...issue, source, column: 301, endColumn: 304 }).split('\n')
    expect(line.length).toBeLessThan(110)
    expect(line.slice(mark.indexOf('^'), mark.indexOf('^') + 3)).toBe('BAD')
  })

  it('keeps control characters from the terminal', () => {
    const drawn = renderDiagnostic({ ...issue, source: 'a\u001B[31mb', message: 'x\u0007', suggestion: '\u202Ey' })
    expect(drawn).not.toMatch(/[\u001B\u0007\u202E]/)
  })
})

describe('DiagnosticError', () => {
  const warning: Diagnostic = { ...issue, severity: 'warning', line: 1 }
  const error = new DiagnosticError('CONFIG_INVALID', 'The file is not valid', [warning, issue, { ...issue, line: 14 }])

  it('says the first error, and how many there are', () => {
    expect(error.message).toBe('The file is not valid: cog.yaml:12:3: Unknown key: `gpus` (and 1 more)')
  })

  it('is drawn with every issue, and the count last', () => {
    const plain = { bold: (text: string) => text, red: (text: string) => text, dim: (text: string) => text }
    const drawn = renderError(error, plain)
    expect(drawn.match(/unknown-key/g)).toHaveLength(3)
    expect(drawn.trimEnd().split('\n').at(-1)).toBe('error[CONFIG_INVALID]: The file is not valid: 2 problems')
  })

  it('orders by file, line, column, then errors first', () => {
    const sorted = [
      issue,
      { ...issue, severity: 'warning' as const },
      { ...issue, line: 2 },
      { ...issue, file: 'a' },
    ].toSorted(compareDiagnostics)
    expect(sorted.map(({ file, line, severity }) => `${file} ${line} ${severity}`)).toEqual([
      'a 12 error',
      'cog.yaml 2 error',
      'cog.yaml 12 error',
      'cog.yaml 12 warning',
    ])
  })
})

describe('nearest()', () => {
  it.each([
    ['pyton_version', ['python_version', 'platforms'], 'python_version'],
    ['pythonVersion', ['python_version'], 'python_version'],
    ['GPU', ['gpu', 'cuda'], 'gpu'],
    ['debain', ['debian', 'slim'], 'debian'],
    ['zebra', ['gpu', 'cuda'], undefined],
    ['x', ['y'], undefined],
    ['', ['gpu'], undefined],
  ])('%s among %j is %s', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected)
  })

  it.each([
    ['kitten', 'sitting', 3],
    ['ab', 'ba', 1],
    ['', 'abc', 3],
    ['same', 'same', 0],
  ])('editDistance(%s, %s) is %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance)
    expect(editDistance(b, a)).toBe(distance)
  })
})

describe('docs/reference/diagnostics.md', () => {
  it('is what the list of codes says; `node tools/reference.mjs` writes it anew', () => {
    expect(readFileSync(join(packageRoot(), 'docs/reference/diagnostics.md'), 'utf8')).toBe(renderDiagnosticReference())
  })
})
