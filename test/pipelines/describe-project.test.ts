import { describe, expect, it } from 'vitest'
import { describeFiles, pipelineProblems, projectFiles, type Models } from './support.ts'

interface Described {
  readonly steps: readonly unknown[]
  readonly output: unknown
  readonly input: Readonly<Record<string, unknown>>
  readonly gives: Readonly<Record<string, unknown>>
}

/** The pipeline `main` of a project, with the schemas of its input and output. */
async function main(models: Models, steps: string, setup = ''): Promise<Described> {
  const { members } = await describeFiles(projectFiles(models, `pipelines:\n  main: ${steps}\n`, setup))
  const { steps: compiled = [], output, openapi } = members?.pipelines['main'] ?? {}
  const { Input: input = {}, Output: gives = {} } = openapi?.components.schemas ?? {}
  return { steps: compiled, output, input, gives }
}

const problems = (models: Models, steps: string, setup = ''): Promise<readonly string[]> =>
  pipelineProblems(models, `pipelines:\n  main: ${steps}\n`, setup)

const BOXES = `
class Box(BaseModel):
    x: int
    name: str
class Found(BaseModel):
    boxes: list[Box]
    image: Path
    note: Optional[str]
`

describe('implicit inputs', () => {
  it('of the first step are those of the pipeline, each with all that the model says of it', async () => {
    const { steps, input, output, gives } = await main(
      {
        a: 'image: Path, top: int = Input(default=3, ge=1, le=9, description="How many"), mode: str = Input(default="x", choices=["x", "y"]) -> list[str]',
      },
      '[a]',
    )
    expect(steps).toEqual([
      {
        name: 'a',
        model: 'a',
        input: { image: { ref: ['input', 'image'] }, top: { ref: ['input', 'top'] }, mode: { ref: ['input', 'mode'] } },
      },
    ])
    expect(input).toMatchObject({
      properties: {
        image: { type: 'string', format: 'uri', 'x-order': 0 },
        top: { type: 'integer', default: 3, minimum: 1, maximum: 9, description: 'How many', 'x-order': 1 },
        mode: { allOf: [{ $ref: '#/components/schemas/mode' }], default: 'x' },
      },
      required: ['image'],
    })
    expect(output).toEqual({ ref: ['a'] })
    expect(gives).toEqual({ title: 'Output', type: 'array', items: { type: 'string' } })
  })

  it.each<readonly [string, Models, string, unknown]>([
    [
      'one required input',
      { a: 'x: str -> str', b: 'text: str, top: int = 3 -> str' },
      '[a, b]',
      { text: { ref: ['a'] } },
    ],
    [
      'the only input, even with a default',
      { a: 'x: str -> str', b: 'text: str = "y" -> str' },
      '[a, b]',
      { text: { ref: ['a'] } },
    ],
    [
      'fields by name',
      { a: 'x: str -> Found', b: 'image: Path, boxes: list, other: int = 1 -> str' },
      '[a, b]',
      { image: { ref: ['a', 'image'] }, boxes: { ref: ['a', 'boxes'] } },
    ],
    [
      'a field by name, where the whole does not fit',
      { a: 'x: str -> Found', b: 'image: Path -> str' },
      '[a, b]',
      { image: { ref: ['a', 'image'] } },
    ],
    [
      'the whole, where it fits',
      { a: 'x: str -> Found', b: 'image: dict -> str' },
      '[a, b]',
      { image: { ref: ['a'] } },
    ],
    [
      'the outputs of parallel steps by name',
      { a: 'x: str -> str', b: 'x: str -> int', c: 'a: str, b: int -> str' },
      '[{parallel: [a, b]}, c]',
      { a: { ref: ['a'] }, b: { ref: ['b'] } },
    ],
    [
      'the outputs of parallel steps as one mapping',
      { a: 'x: str -> str', b: 'x: str -> int', c: 'all: dict -> str' },
      '[{parallel: [a, b]}, c]',
      { all: { object: { a: { ref: ['a'] }, b: { ref: ['b'] } } } },
    ],
    [
      'the item of each',
      { a: 'x: str -> list[str]', b: 'text: str -> str' },
      '[a, {model: b, each: $.a}]',
      { text: { ref: ['item'] } },
    ],
    [
      'the fields of an item',
      { a: 'x: str -> Found', b: 'x: int, name: str -> str' },
      '[a, {model: b, each: $.a.boxes}]',
      { x: { ref: ['item', 'x'] }, name: { ref: ['item', 'name'] } },
    ],
    ['none', { a: 'x: str -> str', b: ' -> str' }, '[a, b]', {}],
  ])('of a later step: %s', async (_, models, steps, expected) => {
    expect((await main(models, steps, BOXES)).steps.at(-1)).toMatchObject({ input: expected })
  })

  it('are an error where nothing says what they are', async () => {
    const models = { a: 'x: str -> str', b: 'one: str, two: str -> str', c: 'x: str -> dict' }
    expect(await problems(models, '[a, b]')).toEqual([
      'step-input pipelines.main[1]: Nothing says where the inputs of `b` come from: one, two',
    ])
    expect(await problems(models, '[c, {model: b}]')).toEqual([
      'step-input pipelines.main[1]: Nothing says where the inputs of `b` come from: one, two',
    ])
  })

  it('are an error where they do not fit', async () => {
    expect(await problems({ a: 'x: str -> Path', b: 'text: str -> str' }, '[a, b]')).toEqual([
      'step-type pipelines.main[1]: `$.a` is a file; the input `text` of `b` takes text',
    ])
  })
})

describe('the pieces of a text', () => {
  const models = {
    a: 'x: str -> ConcatenateIterator[str]',
    b: 'text: Optional[str] -> str',
    c: 'pieces: list[str] -> str',
    d: 'n: int -> str',
    e: 'file: Path -> str',
  }
  it('are joined where the next model takes a text, and stay a list where it takes one', async () => {
    expect((await main(models, '[a, b]')).steps.at(-1)).toMatchObject({ input: { text: { join: { ref: ['a'] } } } })
    const written = await main(
      models,
      '[a, {model: b, optional: true, input: {text: $.a}}, {model: c, input: {pieces: $.a}}]',
    )
    expect(written.steps.slice(1)).toMatchObject([
      { input: { text: { join: { ref: ['a'] } } } },
      { input: { pieces: { ref: ['a'] } } },
    ])
  })

  it('are no number and no file, and one of them is what it is', async () => {
    expect(await problems(models, '[a, {model: d, input: {n: $.a}}, {model: e, input: {file: $.a}}]')).toHaveLength(2)
    const { steps } = await main(models, '[a, {model: b, input: {text: "$.a[0]"}}]')
    expect(steps.at(-1)).toMatchObject({ input: { text: { ref: ['a', 0] } } })
  })

  it('are lists of pieces after each', async () => {
    const found = await problems(models, '[{model: a, each: $.input.all}, {model: b, input: {text: $.a}}]')
    expect(found).toEqual([
      'step-type pipelines.main[1].input.text: `$.a` is a list of list of text; the input `text` of `b` takes text or null',
    ])
  })
})

describe('what a pipeline takes', () => {
  it('is every input that it names, in the order in which they are used', async () => {
    const { input } = await main(
      { a: 'x: str, n: int = 4 -> str', b: 'x: list[int], y: str = "z" -> str' },
      '[{model: a, input: {x: $.input.prompt}}, {model: b, when: $.input.more, input: {x: [1, $.input.other], y: $.input.style}}]',
    )
    expect(input).toEqual({
      title: 'Input',
      type: 'object',
      properties: {
        prompt: { title: 'Prompt', type: 'string', 'x-order': 0 },
        more: { title: 'More', type: 'boolean', default: false, description: 'Whether b runs', 'x-order': 1 },
        other: { title: 'Other', 'x-order': 2 },
        style: { title: 'Style', type: 'string', default: 'z', 'x-order': 3 },
      },
      required: ['prompt', 'other'],
    })
  })

  it('is a list of what the items of each are', async () => {
    const { input } = await main(
      { a: 'image: Path, top: int = Input(ge=1) -> str' },
      '[{model: a, each: $.input.images, input: {image: $.item, top: 1}}]',
    )
    expect(input).toMatchObject({
      properties: { images: { type: 'array', items: { type: 'string', format: 'uri' } } },
      required: ['images'],
    })
    const items = await main({ a: 'size: int = Input(ge=1, le=5) -> str' }, '[{model: a, each: $.input.sizes}]')
    expect(items.input).toMatchObject({
      properties: { sizes: { type: 'array', items: { type: 'integer', minimum: 1, maximum: 5 } } },
      required: ['sizes'],
    })
    const untyped = await main({ a: 'x: str -> str' }, '[{model: a, each: $.input.all, input: {x: $.item.name}}]')
    expect(untyped.input).toMatchObject({ properties: { all: { type: 'array', items: {} } } })
  })

  it('has the default of the first place, unless only another one must be given', async () => {
    const first = await main({ a: 'n: int = 1 -> str', b: 'n: int = 2 -> str' }, '[{parallel: [a, b]}]')
    expect(first.input).toMatchObject({ properties: { n: { default: 1 } } })
    const second = await main({ a: 'n: Optional[int] -> str', b: 'n: int -> str' }, '[{parallel: [a, b]}]')
    expect(second.input).toMatchObject({ required: ['n'] })
  })

  it.each<readonly [string, Models, string, readonly string[]]>([
    [
      'of two types',
      { a: 'n: int -> str', b: 'n: str -> str' },
      '[{parallel: [a, b]}]',
      [
        'step-type pipelines.main[0].parallel[1]: The input `n` of the pipeline cannot be text here and a whole number elsewhere',
      ],
    ],
    [
      'of a list and of no list',
      { a: 'n: str -> str', b: 'm: str -> str' },
      '[a, {model: b, each: $.input.n, input: {m: x}}]',
      ['step-type pipelines.main[1].each: The input `n` of the pipeline cannot be a list here and text elsewhere'],
    ],
  ])('cannot be %s', async (_, models, steps, expected) => {
    expect(await problems(models, steps)).toEqual(expected)
  })
})

describe('what a pipeline gives', () => {
  it('is what its output says', async () => {
    const { output, gives } = await main(
      { a: 'x: str -> Found', b: 'boxes: list -> list[str]' },
      '{steps: [a, {model: b, input: {boxes: $.a.boxes}}], output: {first: "$.a.boxes[0].name", all: [$.b, $.input.x], n: 3}}',
      BOXES,
    )
    expect(output).toEqual({
      object: {
        first: { ref: ['a', 'boxes', 0, 'name'] },
        all: { list: [{ ref: ['b'] }, { ref: ['input', 'x'] }] },
        n: { const: 3 },
      },
    })
    expect(gives).toMatchObject({
      type: 'object',
      properties: { first: { type: 'string' }, all: { type: 'array' }, n: { type: 'integer', enum: [3] } },
    })
  })

  it('is an object by name after parallel steps, null where a step may not run', async () => {
    const { output, gives } = await main(
      { a: 'x: str -> str', b: 'x: str -> Path' },
      '[{parallel: [a, {model: b, optional: true}]}]',
    )
    expect(output).toEqual({ object: { a: { ref: ['a'] }, b: { ref: ['b'] } } })
    expect(gives).toMatchObject({
      properties: { a: { type: 'string' }, b: { type: 'string', format: 'uri', nullable: true } },
    })
  })

  it('is a list after each, of lists where the model gives an iterator', async () => {
    const { gives } = await main({ a: 'x: str -> Iterator[int]' }, '[{model: a, each: $.input.all}]')
    expect(gives).toEqual({
      title: 'Output',
      type: 'array',
      items: { type: 'array', items: { type: 'integer' } },
    })
  })

  it('streams as the last step does, where it is all that is given', async () => {
    const models = { a: 'x: str -> str', b: '@streaming text: str -> ConcatenateIterator[str]' }
    const { members } = await describeFiles(
      projectFiles(models, 'pipelines: {main: [a, b], list: {steps: [a, b], output: [$.b]}}\n'),
    )
    const { main: streamed, list } = members?.pipelines ?? {}
    expect(streamed?.openapi.components.schemas['Output']).toMatchObject({ 'x-cog-array-display': 'concatenate' })
    expect(streamed?.openapi.paths['/predictions']).toMatchObject({ post: { 'x-cog-streaming': true } })
    expect(list?.openapi.components.schemas['Output']).toEqual({
      title: 'Output',
      type: 'array',
      items: { type: 'array', items: { type: 'string' } },
    })
    expect(JSON.stringify(list?.openapi.paths)).not.toContain('x-cog-streaming')
  })
})

describe('problems between steps', () => {
  const models = {
    a: 'x: str -> Found',
    b: 'text: str, top: int = Input(default=3, ge=1, le=9), mode: str = Input(default="m", choices=["m", "n"]) -> list[str]',
    c: 'image: Path -> Path',
  }
  it.each<readonly [string, string, readonly string[]]>([
    [
      'an unknown input',
      '[a, {model: b, input: {text: x, tpo: 3}}]',
      ['step-input pipelines.main[1].input.tpo: The model `b` has no input `tpo` -> top'],
    ],
    [
      'a missing input',
      '[a, {model: b, input: {top: 3}}]',
      ['step-input pipelines.main[1].input: The model `b` needs the input `text`'],
    ],
    [
      'a field that is not there',
      '[a, {model: b, input: {text: "$.a.boxes[0].nmae"}}]',
      ['step-type pipelines.main[1].input.text: `$.a.boxes[0].nmae`: `Box` has no field `nmae` -> $.a.boxes[0].name'],
    ],
    [
      'a field of a list',
      '[a, {model: b, input: {text: $.a.boxes.name}}]',
      [
        'step-type pipelines.main[1].input.text: `$.a.boxes.name`: `name` names a field, but it is a list of mapping (Box)',
      ],
    ],
    [
      'a file into text, deep in a value',
      '[a, {model: b, input: {text: $.a.image}}, {model: c, input: {image: "$.b[0]"}}]',
      ['step-type pipelines.main[1].input.text: `$.a.image` is a file; the input `text` of `b` takes text'],
    ],
    [
      'a constant of another type',
      '[a, {model: b, input: {text: x, top: "3"}}]',
      ['step-type pipelines.main[1].input.top: This is "3"; the input `top` of `b` takes a whole number'],
    ],
    [
      'a constant beyond a limit, and none of the choices',
      '[a, {model: b, input: {text: x, top: 10, mode: o}}]',
      [
        'step-type pipelines.main[1].input.top: This is no value for the input `top` of `b`: it is at most 9',
        'step-type pipelines.main[1].input.mode: This is no value for the input `mode` of `b`: it is one of "m", "n"',
      ],
    ],
    [
      'each over what is no list',
      '[a, {model: c, each: $.a.note, input: {image: x}}]',
      ['step-type pipelines.main[1].each: `each` needs a list, not text or null'],
    ],
    [
      'a list into one',
      '[a, {model: b, input: {text: x}}, {model: c, input: {image: $.b}}]',
      ['step-type pipelines.main[2].input.image: `$.b` is a list of text; the input `image` of `c` takes a file'],
    ],
    [
      'a bad reference in when',
      '[a, {model: c, when: $.a.x, input: {image: x}}]',
      ['step-type pipelines.main[1].when: `$.a.x`: `Found` has no field `x`'],
    ],
    [
      'a bad reference in output, in a list',
      '{steps: [a], output: [$.a.imgae]}',
      ['step-type pipelines.main.output[0]: `$.a.imgae`: `Found` has no field `imgae` -> $.a.image'],
    ],
  ])('%s', async (_, steps, expected) => {
    expect(await problems(models, steps, BOXES)).toEqual(expected)
  })

  it('nothing is wrong with what is not known', async () => {
    const any = { a: 'x: str -> Any', b: 'n: int, s: str -> dict', c: 'image: Path -> str' }
    expect(
      await problems(any, '[a, {model: b, input: {n: $.a.x, s: "$.a[0]"}}, {model: c, input: {image: $.b.y.z}}]'),
    ).toEqual([])
  })

  it('what may be null is let through: whether it is shows when it runs', async () => {
    expect(
      await problems(models, '[a, {model: b, optional: true, input: {text: $.a.note}}, {model: c, each: $.b}]', BOXES),
    ).toEqual([])
  })
})

describe('describeProject()', () => {
  it('tells of problems of models and of pipelines at once', async () => {
    const files = projectFiles(
      { a: 'x -> str', b: 'y: int -> Path', c: 'z: int -> str' },
      'pipelines: {main: [b, c], other: [a]}\n',
    )
    await expect(describeFiles(files)).rejects.toMatchObject({
      code: 'PREDICTOR_INVALID',
      issues: [
        { code: 'missing-type', file: 'a.py' },
        { code: 'step-type', file: expect.stringMatching(/cog\.yaml$/), line: 5, column: 23 },
      ],
    })
  })

  it('makes one document for all, with the default at its usual places', async () => {
    const { openapi, defaultOpenapi, members } = await describeFiles({
      ...projectFiles(
        { a: 'x: str = Input(choices=["p", "q"]) -> str', 'b.c': 'n: int -> str' },
        'train: t.py:train\npipelines: {main: [a]}\n',
      ),
      't.py': 'from cog import Input\ndef train(n: int) -> str: ...\n',
    })
    expect(members).toMatchObject({ version: 1, default: 'main' })
    expect(Object.keys(members?.models ?? {})).toEqual(['a', 'b.c'])
    const { schemas } = openapi.components
    expect(schemas['Input']).toEqual(members?.pipelines['main']?.openapi.components.schemas['Input'])
    expect(schemas['TrainingInput']).toBeDefined()
    expect(schemas['b.c.Input']).toMatchObject({ properties: { n: { type: 'integer' } } })
    expect(schemas['a.Input']).toMatchObject({ properties: { x: { allOf: [{ $ref: '#/components/schemas/a.x' }] } } })
    expect(openapi.paths['/models/b.c/predictions/{prediction_id}']).toBeDefined()
    expect(openapi.paths).toHaveProperty('/models')
    // Every reference leads somewhere, and every operation has a name of its own.
    const text = JSON.stringify(openapi)
    for (const [, component = ''] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      expect(schemas).toHaveProperty([component])
    const names = [...text.matchAll(/"operationId":"([^"]+)"/g)].map(([, name]) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(Object.keys(defaultOpenapi?.paths ?? {}).filter((path) => path.startsWith('/models'))).toEqual([])
  })

  it('of one model is what it was, without names', async () => {
    const text = 'from cog import Input\ndef run(n: int) -> str: ...\n'
    const { members, defaultOpenapi, openapi } = await describeFiles({
      'cog.yaml': 'run: run.py:run\n',
      'run.py': text,
    })
    expect([members, defaultOpenapi]).toEqual([undefined, undefined])
    expect(openapi.paths).not.toHaveProperty('/models')
  })

  it('takes the only model for the default where there is no pipeline', async () => {
    const { members, predict } = await describeFiles(projectFiles({ only: 'n: int -> str' }, ''))
    expect(members).toMatchObject({ default: 'only', pipelines: {} })
    expect(predict?.inputs.map(({ name }) => name)).toEqual(['n'])
  })

  it('hands concurrency over, which needs an async function', async () => {
    const files = projectFiles({ a: 'n: int -> str' }, '')
    const cog = 'models: {a: {run: "a.py:predict", concurrency: {max: 4}}}\n'
    await expect(describeFiles({ ...files, 'cog.yaml': cog })).rejects.toMatchObject({
      issues: [{ code: 'invalid-concurrency', file: 'a.py' }],
    })
    const asynchronous = { 'a.py': files['a.py']?.replace('def', 'async def') ?? '', 'cog.yaml': cog }
    expect((await describeFiles(asynchronous)).members?.models['a']).toMatchObject({
      run: 'a.py:predict',
      concurrency: 4,
    })
  })
})
