import { describe, expect, it } from 'vitest'
import { describeModel } from '../../src/predictor/describe.ts'
import { findTooDeep } from '../../src/predictor/nesting.ts'
import { PredictorError } from '../../src/predictor/problems.ts'

/** The first problem of a predictor; `fine` when there is none. Anything but a PredictorError passes through. */
async function outcome(source: string): Promise<string> {
  try {
    await describeModel({
      projectFolder: '/nowhere',
      run: 'p.py:P',
      readFile: (path) => (path === 'p.py' ? source : undefined),
    })
    return 'fine'
  } catch (error) {
    if (error instanceof PredictorError) return `${error.issues[0]?.line}: ${error.issues[0]?.message}`
    throw error
  }
}

const PREDICTOR = 'class P:\n    def predict(self, a: int) -> str: ...\n'
const lines = (count: number, line: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => line(n)).join('\n')

describe('nesting that Python itself refuses is refused before the grammar sees it', () => {
  it.each([
    ['brackets', `x = ${'('.repeat(50_000)}1${')'.repeat(50_000)}`, '2: This is nested in brackets more than 200 deep'],
    ['open brackets', `x = ${'['.repeat(50_000)}`, '2: This is nested in brackets more than 200 deep'],
    ['annotations', `y: ${'list['.repeat(50_000)}int`, '2: This is nested in brackets more than 200 deep'],
    ['blocks', lines(1500, (n) => `${' '.repeat(n)}if x:`), '102: This is indented more than 100 deep'],
    ['tabs', lines(1500, (n) => `${'\t'.repeat(n)}class A:`), '102: This is indented more than 100 deep'],
  ])('%s', async (_, text, message) => {
    expect(await outcome(`# first\n${text}\n`)).toContain(message)
  })

  it.each([
    ['strings', `x = "${'('.repeat(5000)}"\ny = '''\n${'[\n'.repeat(5000)}'''\n`],
    ['comments', `# ${'('.repeat(5000)}\n`],
    ['brackets that are closed after a string', `print("a")\nx['a'] = ('b')\n`.repeat(5000)],
    ['long strings', `x = "${'a'.repeat(9_000_000)}"\ny = '''${'a\\n"\n'.repeat(2_000_000)}'''\n`],
    ['brackets between strings', `x = [${'("a"), '.repeat(5000)}]\n`],
    ['brackets that are closed', `x = [${'(1), '.repeat(5000)}]\n`],
    ['lines within brackets', `x = [\n${lines(500, (n) => `${' '.repeat(n)}1,`)}\n]\n`],
    ['blank lines', lines(500, (n) => ' '.repeat(n))],
    ['150 brackets', `x = ${'('.repeat(150)}1${')'.repeat(150)}\n`],
    ['90 blocks', `${lines(90, (n) => `${' '.repeat(n)}if x:`)}\n${' '.repeat(90)}pass\n`],
    ['a string that is not closed', `x = "((((\n`],
  ])('%s are not counted', (_, text) => {
    expect(findTooDeep(text)).toBeUndefined()
  })
})

describe('a hostile predictor ends in an answer', () => {
  it.each([
    ['a chain of operators', `x = ${'1+'.repeat(100_000)}1\n${PREDICTOR}`, 'fine'],
    ['a chain of attributes', `x = a${'.a'.repeat(100_000)}\n${PREDICTOR}`, 'fine'],
    ['a chain of signs', `x = ${'-'.repeat(100_000)}1\n${PREDICTOR}`, 'fine'],
    ['a chain of operators in a body', `${PREDICTOR}        return ${'1+'.repeat(100_000)}1\n`, 'fine'],
    [
      'a chain as an annotation',
      `class P:\n    def predict(self, a: int${' | int'.repeat(5000)}) -> str: ...\n`,
      '2: ',
    ],
    ['aliases that double', aliases('Union[T{n}, list[T{n}]]'), 'too large'],
    ['aliases that double in an output', aliases('T{n} | list[T{n}]', 'a: int', 'T45'), 'too large'],
    ['quoted annotations in each other', aliases("'list[T{n}]'"), 'too large, or nested too deeply'],
    ['classes with bases that double', `${diamond(45)}class P(A44, B44):\n    def predict(self) -> str: ...\n`, 'fine'],
    ['a class that derives from itself', 'class P(P):\n    def predict(self) -> str: ...\n', 'fine'],
    ['errors without end', lines(20_000, () => ') )')],
  ])('%s', async (_, source, expected = '') => {
    expect(await outcome(source)).toContain(expected)
  })

  it('finds a method as Python does where two bases share one', async () => {
    const source =
      'class A:\n    def predict(self, a: int) -> str: ...\nclass B(A): ...\n' +
      'class C(A):\n    def predict(self, c: int) -> str: ...\nclass P(B, C): ...\n'
    const { predict } = await describeModel({ projectFolder: '/', run: 'p.py:P', readFile: () => source })
    expect(predict?.inputs.map(({ name }) => name)).toEqual(['c'])
  })
})

function aliases(form: string, input = 'a: T45', output = 'str'): string {
  const body = lines(45, (n) => `T${n + 1} = ${form.replaceAll('{n}', String(n))}`)
  return `from typing import Union\nT0 = int\n${body}\nclass P:\n    def predict(self, ${input}) -> ${output}: ...\n`
}

function diamond(count: number): string {
  return `${lines(count, (n) => {
    const bases = n === 0 ? '' : `A${n - 1}, B${n - 1}`
    return `class A${n}(${bases}): ...\nclass B${n}(${bases}): ...`
  })}\n`
}
