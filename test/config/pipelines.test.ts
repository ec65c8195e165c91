import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/issue.ts'
import { parseConfig } from '../../src/config/load.ts'
import { formatReference, parseReference, parseValue } from '../../src/config/pipeline-value.ts'

const MODELS = 'models:\n  a: {run: "a.py:A"}\n  b: {run: "b.py:B"}\n'

/** `severity code path -> suggestion` of every problem. */
function summary(text: string): readonly string[] {
  const issues = (() => {
    try {
      return parseConfig(text).warnings
    } catch (error) {
      if (error instanceof ConfigError) return error.issues
      throw error
    }
  })()
  return issues.map(
    ({ severity, code, path = '', suggestion }) =>
      `${severity} ${code} ${path}${suggestion === undefined ? '' : ` -> ${suggestion}`}`,
  )
}

describe('parseReference()', () => {
  it.each<readonly [string, readonly (string | number)[]]>([
    ['$.input.image', ['input', 'image']],
    ['$.detect', ['detect']],
    ['$.detect.boxes[0].x', ['detect', 'boxes', 0, 'x']],
    ['$.item', ['item']],
    ['$.a-b_c[12][3]', ['a-b_c', 12, 3]],
    ['$.["v1.2"].x', ['v1.2', 'x']],
    ['$.a["a \\"key\\" \\\\"]', ['a', 'a "key" \\']],
    ['$.a["é 漢"][1]', ['a', 'é 漢', 1]],
  ])('reads %s, and formatReference() writes it', (text, reference) => {
    expect(parseReference(text)).toEqual(reference)
    expect(formatReference(reference as Parameters<typeof formatReference>[0])).toBe(text)
  })

  it.each(['$.', '$..a', '$.a.', '$.a[', '$.a[x]', '$.a[-1]', '$.[0]', '$.a b', '$.a[0', '$.a["x]', '$.a["x"y]'])(
    'refuses %s',
    (text) => expect(parseReference(text)).toBeUndefined(),
  )
})

it('formatReference() and parseReference() are inverse for any keys and indexes', () => {
  const part = fc.oneof(fc.string({ unit: 'grapheme' }), fc.nat({ max: 999_999_999 }))
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.array(part, { maxLength: 5 }), (first, rest) => {
      expect(parseReference(formatReference([first, ...rest]))).toEqual([first, ...rest])
    }),
  )
})

describe('parseValue()', () => {
  it.each<readonly [unknown, unknown]>([
    [3, { const: 3 }],
    ['text', { const: 'text' }],
    ['$.a.x', { ref: ['a', 'x'] }],
    ['$$.a.x', { const: '$.a.x' }],
    ['$$$.a', { const: '$$$.a' }],
    ['$5', { const: '$5' }],
    [['$.a', 1], { list: [{ ref: ['a'] }, { const: 1 }] }],
    [{ x: '$.a', y: { z: [1] } }, { object: { x: { ref: ['a'] }, y: { const: { z: [1] } } } }],
    [{ x: ['$$.a', null] }, { const: { x: ['$.a', null] } }],
    [[], { const: [] }],
  ])('reads %j', (plain, value) => expect(parseValue(plain)).toEqual(value))
})

describe('models and pipelines', () => {
  it('are absent for one model', () => {
    const { config } = parseConfig('run: a.py:A\n')
    expect(config).not.toHaveProperty('models')
    expect(config).not.toHaveProperty('pipelines')
  })

  it('have a short and a long form, which mean the same', () => {
    const short = parseConfig(`${MODELS}pipelines:\n  main: [a, b]\n`).config
    const long = parseConfig(`${MODELS}pipelines:\n  main: {steps: [{model: a}, {model: b, name: b}]}\n`).config
    expect(short.models).toEqual({ a: { run: 'a.py:A' }, b: { run: 'b.py:B' } })
    const bare = (config: typeof short): unknown =>
      JSON.parse(JSON.stringify(config.pipelines, (key, value: unknown) => (key === 'path' ? undefined : value)))
    expect(bare(long)).toEqual(bare(short))
    expect(JSON.parse(JSON.stringify(long))).toEqual(long)
  })

  it('hold every key of a step', () => {
    const { config, warnings } = parseConfig(
      `
models:
  a: {run: "a.py:A", concurrency: {max: 4, default_target: 2}}
  b: {run: "b.py:B"}
pipelines:
  main:
    steps:
      - a
      - {model: b, name: c, each: $.a.list, when: $.input.c, optional: true, input: {x: $.item, y: [1, $.a], z: $$.5}}
      - parallel: [a, {model: b, name: d}]
    output: {c: $.c, d: [$.d]}
`.replace('- parallel: [a,', '- parallel: [{model: a, name: a2},'),
    )
    expect(warnings).toEqual([])
    expect(config.models?.['a']).toEqual({ run: 'a.py:A', concurrency: { max: 4, defaultTarget: 2 } })
    expect(config.pipelines).toEqual({
      main: {
        steps: [
          { name: 'a', model: 'a', path: ['pipelines', 'main', 'steps', 0] },
          {
            name: 'c',
            model: 'b',
            each: { ref: ['a', 'list'] },
            when: { ref: ['input', 'c'] },
            optional: true,
            input: { x: { ref: ['item'] }, y: { list: [{ const: 1 }, { ref: ['a'] }] }, z: { const: '$.5' } },
            path: ['pipelines', 'main', 'steps', 1],
          },
          {
            parallel: [
              { name: 'a2', model: 'a', path: ['pipelines', 'main', 'steps', 2, 'parallel', 0] },
              { name: 'd', model: 'b', path: ['pipelines', 'main', 'steps', 2, 'parallel', 1] },
            ],
          },
        ],
        output: { object: { c: { ref: ['c'] }, d: { list: [{ ref: ['d'] }] } } },
      },
    })
  })

  it.each<readonly [string, string, readonly string[]]>([
    ['run beside models', `${MODELS}run: a.py:A\npipelines: {main: [a]}`, ['error exclusive-keys run']],
    [
      'predict, concurrency and batch beside models',
      `${MODELS}predict: a.py:A\nconcurrency: {max: 1}\nbatch: {max_size: 2}\npipelines: {main: [a]}`,
      [
        'error exclusive-keys predict',
        'warning deprecated-key predict',
        'error exclusive-keys concurrency',
        'warning deprecated-key concurrency',
        'error exclusive-keys batch',
      ],
    ],
    ["Cog's server", `${MODELS}runtime: coglet\npipelines: {main: [a]}`, ['error exclusive-keys runtime']],
    ['train beside models', `${MODELS}train: t.py:train\npipelines: {main: [a]}`, []],
    ['pipelines without models', 'run: a.py:A\npipelines: {main: [a]}', ['error missing-key pipelines']],
    ['no model at all', 'models: {}', ['error missing-key models']],
    ['a model of nothing', 'models: {a: {concurrency: {max: 2}}}', ['error missing-key models.a']],
    [
      'a model with both names of the key',
      'models: {a: {run: "a.py:A", predict: "a.py:A"}}',
      ['error exclusive-keys models.a.predict', 'warning deprecated-key models.a.predict'],
    ],
    ['the former name of the key', 'models: {a: {predict: "a.py:A"}}', ['warning deprecated-key models.a.predict']],
    ['an unknown key of a model', 'models: {a: {rnu: "a.py:A"}}', ['error unknown-key models.a.rnu -> run']],
    ['a malformed pointer', 'models: {a: {run: a.py}}', ['error invalid-value models.a.run']],
    [
      'a name that nothing can have',
      `${MODELS}  __proto__: {run: "a.py:A"}\npipelines: {main: [{model: a, input: {__proto__: 1}}]}`,
      ['error unknown-key models.__proto__', 'error unknown-key pipelines.main[0].input.__proto__'],
    ],
    ['a name in capitals', 'models: {Detect: {run: "a.py:A"}}', ['error invalid-value models.Detect']],
    [
      'a name that is too long',
      `models: {${'a'.repeat(64)}: {run: "a.py:A"}}`,
      [`error invalid-value models.${'a'.repeat(64)}`],
    ],
    [
      'concurrency with an old Python',
      'build: {python_version: "3.10"}\nmodels: {a: {run: "a.py:A", concurrency: {max: 2}}}',
      ['error unsupported-version models.a.concurrency.max'],
    ],
    ['several models without a pipeline', MODELS, ['error no-default models']],
    [
      'several pipelines, none of them main',
      `${MODELS}pipelines: {one: [a], two: [b]}`,
      ['error no-default pipelines'],
    ],
    ['several pipelines, one of them main', `${MODELS}pipelines: {one: [a], main: [b]}`, []],
    ['one pipeline of any name', `${MODELS}pipelines: {one: [a]}`, []],
    ['a pipeline named as a model', `${MODELS}pipelines: {a: [b]}`, ['error exclusive-keys pipelines.a']],
    ['a pipeline of no steps', `${MODELS}pipelines: {main: []}`, ['error invalid-value pipelines.main']],
    [
      'an unknown key of a step',
      `${MODELS}pipelines: {main: [{model: a, inptu: {}}]}`,
      ['error unknown-key pipelines.main[0].inptu -> input'],
    ],
    [
      'an unknown model',
      `${MODELS.replace('b:', 'classify:')}pipelines: {main: [a, clasify]}`,
      ['error unknown-model pipelines.main[1] -> classify'],
    ],
    [
      'a pipeline as a step',
      `${MODELS}pipelines: {main: [a, {model: other}], other: [b]}`,
      ['error unknown-model pipelines.main[1].model'],
    ],
    ['a step without a model', `${MODELS}pipelines: {main: [{name: x}]}`, ['error missing-key pipelines.main[0]']],
    ['two steps of one name', `${MODELS}pipelines: {main: [a, a]}`, ['error duplicate-step pipelines.main[1]']],
    [
      'two steps of one name in parallel',
      `${MODELS}pipelines: {main: [{parallel: [a, {model: b, name: a}]}]}`,
      ['error duplicate-step pipelines.main[0].parallel[1].name'],
    ],
    [
      'a step named input',
      `${MODELS}pipelines: {main: [{model: a, name: input}]}`,
      ['error duplicate-step pipelines.main[0].name'],
    ],
    [
      'a key beside parallel',
      `${MODELS}pipelines: {main: [{parallel: [a], optional: true}]}`,
      ['error exclusive-keys pipelines.main[0].optional'],
    ],
    [
      'parallel within parallel',
      `${MODELS}pipelines: {main: [{parallel: [{parallel: [a]}]}]}`,
      [
        'error missing-key pipelines.main[0].parallel[0].model',
        'error unknown-key pipelines.main[0].parallel[0].parallel',
      ],
    ],
    [
      'a malformed reference',
      `${MODELS}pipelines: {main: [{model: a, input: {x: "$.input..y"}}]}`,
      ['error invalid-value pipelines.main[0].input.x'],
    ],
    [
      'all the inputs at once',
      `${MODELS}pipelines: {main: [{model: a, input: {x: $.input}}]}`,
      ['error invalid-value pipelines.main[0].input.x'],
    ],
    [
      'a step that runs later, deep in a value',
      `${MODELS}pipelines: {main: [{model: a, input: {x: [{y: $.b.z}]}}, b]}`,
      ['error unknown-step pipelines.main[0].input.x[0].y'],
    ],
    [
      'a misspelt step',
      `${MODELS.replace('a:', 'detect:')}pipelines: {main: [detect, {model: b, input: {x: "$.detcet.y[0]"}}]}`,
      ['error unknown-step pipelines.main[1].input.x -> $.detect.y[0]'],
    ],
    [
      'a step itself',
      `${MODELS}pipelines: {main: [{model: a, when: $.a}]}`,
      ['error unknown-step pipelines.main[0].when'],
    ],
    [
      'a neighbour in parallel',
      `${MODELS}pipelines: {main: [{parallel: [a, {model: b, input: {x: $.a}}]}]}`,
      ['error unknown-step pipelines.main[0].parallel[1].input.x'],
    ],
    [
      'a step of another pipeline',
      `${MODELS}pipelines: {main: [a], other: {steps: [b], output: $.a}}`,
      ['error unknown-step pipelines.other.output'],
    ],
    [
      'an item without each',
      `${MODELS}pipelines: {main: {steps: [{model: a, input: {x: $.item}}], output: [$.item]}}`,
      ['error unknown-step pipelines.main.steps[0].input.x', 'error unknown-step pipelines.main.output[0]'],
    ],
  ])('tells of %s', (_, text, expected) => {
    const found = summary(`${text}\n`)
    expect(found.toSorted()).toEqual(expected.toSorted())
  })

  it('tells of every problem at once, each with its line, column and hint', () => {
    try {
      parseConfig(
        `${MODELS}pipelines:\n  main:\n    - a\n    - model: c\n      input: {x: $.nobody}\n    - model: b\n      name: item\n`,
      )
      expect.unreachable()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      expect(error.issues.map(({ line, column, message }) => `${line}:${column} ${message}`)).toEqual([
        '7:14 There is no model `c`',
        '8:18 No step before this one is named `nobody`: `$.nobody`',
        '10:13 A step cannot be named `item`',
      ])
      expect(error.issues.every(({ hint }) => hint !== undefined)).toBe(true)
    }
  })

  it('takes names that objects of JavaScript have of their own', () => {
    const { config } = parseConfig('models: {constructor: {run: "a.py:A"}}\npipelines: {valueof: [constructor]}\n')
    expect(Object.keys(config.models ?? {})).toEqual(['constructor'])
    expect(summary('models: {a: {run: "a.py:A"}}\npipelines: {main: [constructor]}\n')).toEqual([
      'error unknown-model pipelines.main[0]',
    ])
  })
})
