import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { isConcatenated, parseInputSchema } from '../../src/run/predict/input-schema.ts'
import { parseInputs } from '../../src/run/predict/inputs.ts'
import { cogCommand } from '../../src/run/predict/model-server.ts'
import { extensionOf, mediaTypeOf } from '../../src/run/predict/media-type.ts'
import { parseDataUri, writeOutput } from '../../src/run/predict/outputs.ts'

const folder = mkdtempSync(join(tmpdir(), 'lw-predict-'))
afterAll(() => rmSync(folder, { recursive: true }))
writeFileSync(join(folder, 'cat.png'), 'PNG')
writeFileSync(join(folder, 'words.txt'), 'from a file')
writeFileSync(join(folder, 'options.json'), '{"a": 1}\n')

const schema = parseInputSchema({
  components: {
    schemas: {
      Input: {
        required: ['text'],
        properties: {
          text: { type: 'string' },
          steps: { type: 'integer', minimum: 1, maximum: 50 },
          scale: { type: 'number', minimum: 0 },
          short: { type: 'string', minLength: 1, maxLength: 3 },
          cover: { anyOf: [{ type: 'string', format: 'uri' }, { type: 'null' }] },
          pages: { type: 'array', items: { type: 'string', format: 'uri' } },
          fast: { type: 'boolean' },
          image: { type: 'string', format: 'uri' },
          tags: { type: 'array', items: { type: 'string' } },
          colors: { type: 'array', items: { $ref: '#/components/schemas/color' } },
          sizes: { type: 'array', items: { type: 'integer' } },
          options: { type: 'object' },
          color: { allOf: [{ $ref: '#/components/schemas/color' }] },
          seed: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
          self: { $ref: '#/components/schemas/loop' },
        },
      },
      color: { enum: ['red', 'blue'], type: 'string' },
      loop: { $ref: '#/components/schemas/loop' },
    },
  },
})
const parse = (...words: string[]): Record<string, unknown> => parseInputs(words, schema, folder)

describe('parseInputs()', () => {
  test.each([
    [['text=5'], { text: '5' }],
    [['text='], { text: '' }],
    [['text=a=b'], { text: 'a=b' }],
    [['steps=5'], { steps: 5 }],
    [['scale=1e-3'], { scale: 0.001 }],
    [['fast=TRUE'], { fast: true }],
    [['fast=0'], { fast: false }],
    [['image=https://example.com/a.png'], { image: 'https://example.com/a.png' }],
    [['image=@cat.png'], { image: 'data:image/png;name=cat.png;base64,UE5H' }],
    [['tags=a', 'tags=b'], { tags: ['a', 'b'] }],
    [['tags=["a","b"]', 'tags=c'], { tags: ['a', 'b', 'c'] }],
    [['sizes=1', 'sizes=2'], { sizes: [1, 2] }],
    [['options={"a":1}'], { options: { a: 1 } }],
    [['color=red'], { color: 'red' }],
    [['seed=7'], { seed: 7 }],
    [['text=@words.txt'], { text: 'from a file' }],
    [['options=@options.json'], { options: { a: 1 } }],
    [['pages=@cat.png', 'pages=https://x/y'], { pages: ['data:image/png;name=cat.png;base64,UE5H', 'https://x/y'] }],
    [['pages=["@cat.png"]'], { pages: ['data:image/png;name=cat.png;base64,UE5H'] }],
    [['tags=["@cat.png"]'], { tags: ['@cat.png'] }],
    [['image=/in/the/container.png'], { image: '/in/the/container.png' }],
    [['short=\u{1F600}\u{1F600}\u{1F600}'], { short: '\u{1F600}\u{1F600}\u{1F600}' }],
    [['colors=red', 'colors=blue'], { colors: ['red', 'blue'] }],
    [['seed=null'], { seed: null }],
    [['self={"x":1}'], { self: { x: 1 } }],
  ])('%j', (words, expected) => {
    expect(parse(...['text=t'].filter(() => !words[0]?.startsWith('text')), ...words)).toMatchObject(expected)
  })

  test('names every problem at once, with the nearest input', () => {
    expect(() => parse('stepz=1', 'steps=x', 'fast=perhaps', 'scale=1', 'scale=2')).toThrowError(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: expect.stringMatching(/`stepz`.*`steps`.*takes integer.*takes boolean.*2 times.*`text` is missing/),
      }),
    )
  })

  test('without a schema takes JSON as JSON and the rest as text', () => {
    expect(parseInputs(['a=1', 'b=x', 'c=[1]'], undefined, folder)).toEqual({ a: 1, b: 'x', c: [1] })
  })

  test('refuses a word without a name and a file that is not there', () => {
    expect(() => parse('text')).toThrowError(expect.objectContaining({ code: 'USAGE' }))
    expect(() => parse('=x')).toThrowError(expect.objectContaining({ code: 'USAGE' }))
    expect(() => parse('text=@missing')).toThrowError(
      expect.objectContaining({ code: 'INPUT_INVALID', message: expect.stringMatching(/`text` .*ENOENT.*missing$/) }),
    )
  })

  test.each([
    ['steps=0', '`steps` is at least 1, not `0`'],
    ['steps=51', '`steps` is at most 50, not `51`'],
    ['scale=-0.5', '`scale` is at least 0, not `-0.5`'],
    ['short=', '`short` takes at least 1 characters, not 0'],
    ['short=long', '`short` takes at most 3 characters, not 4'],
    ['color=rad', '`color` is "red" or "blue", not `rad`, did you mean `red`?'],
    ['colors=["red","green"]', '`colors` is "red" or "blue", not `green`'],
    ['image=cat.png', '`image` takes a file, `image=@cat.png`, or a URL'],
    ['cover=cat.png', '`cover` takes a file, `cover=@cat.png`, or a URL'],
    ['pages=["cat.png"]', '`pages` takes a file, `pages=@cat.png`, or a URL'],
  ])('holds an input to its limits before anything starts: %s', (word, problem) => {
    expect(() => parse('text=t', word)).toThrowError(
      expect.objectContaining({ code: 'INPUT_INVALID', data: { problems: [problem] } }),
    )
  })

  test('tells what the model takes, with limits and choices', () => {
    expect(() => parse()).toThrowError(
      expect.objectContaining({
        hint: expect.stringMatching(
          /text \(string\), steps\? \(1 to 50\), .*cover\? \(file\), pages\? \(list of file\).*color\? \("red" or "blue"\)/,
        ),
      }),
    )
  })

  test('parseInputSchema() finds nothing in a document without inputs', () => {
    expect(parseInputSchema({ openapi: '3.0.2' })).toBeUndefined()
    expect(parseInputSchema(undefined)).toBeUndefined()
  })
})

test('isConcatenated() tells pieces of one text from a list', () => {
  const withOutput = (output: object): object => ({ components: { schemas: { Output: output } } })
  expect(isConcatenated(withOutput({ type: 'array', 'x-cog-array-display': 'concatenate' }))).toBe(true)
  expect(isConcatenated(withOutput({ type: 'array' }))).toBe(false)
  expect(isConcatenated(undefined)).toBe(false)
})

describe('writeOutput()', () => {
  const png = 'data:image/png;base64,UE5H'
  const named = (name: string): string => `data:application/octet-stream;name=${name};base64,UE5H`
  const cases: readonly (readonly [string, unknown, string | undefined, readonly string[]])[] = [
    ['one file', png, undefined, ['output.png']],
    ['one file by name', png, 'cat.png', ['cat.png']],
    ['one file without an extension', png, 'cat', ['cat.png']],
    ['several files', [png, png], undefined, ['output.0.png', 'output.1.png']],
    ['several files by name', [png, png], 'x.png', ['x.0.png', 'x.1.png']],
    ['files of an object', { a: png, n: 1 }, undefined, ['output.a.png']],
    [
      'a member of the same name as the file',
      { weights: png, log: png },
      'weights',
      ['weights.png', 'weights.log.png'],
    ],
    ['members of such a member', { weights: [png], 0: png }, 'weights', ['weights.0.png', 'weights.weights.0.png']],
    ['a member whose name leads elsewhere', { '../../evil': png }, undefined, ['output.______evil.png']],
    ['a folder', png, 'out/', ['output.png']],
    ['text into a file', 'words', 'words.txt', ['words.txt']],
    ['text into a folder', 'words', 'out/', ['output.txt']],
    ['JSON into a file', { a: 1 }, 'a.json', ['a.json']],
    ['nothing', 'words', undefined, []],
    ['a compressed tar', 'data:application/gzip;name=weights.v1.tar.gz;base64,UE5H', undefined, ['output.tar.gz']],
    ['a name that no table has', named('model.safetensors'), undefined, ['output.safetensors']],
    ['a name that leads elsewhere', named('..%2F..%2Fevil.sh%2F..'), undefined, ['output.bin']],
    ['a name without an extension', named('LICENSE'), undefined, ['output.bin']],
    ['a hidden name', named('.profile'), undefined, ['output.bin']],
  ]
  test.each(cases)('%s', async (_name, output, target, names) => {
    const place = mkdtempSync(join(folder, 'out-'))
    mkdirSync(join(place, 'out'))
    const { files } = await writeOutput(output, place, target)
    expect(files.map((file) => basename(file))).toEqual(names)
    for (const file of files) expect(readFileSync(file, 'utf8')).toMatch(/^(PNG|words|\{\n {2}"a": 1\n\}\n)$/)
  })

  test('puts the path where the file was', async () => {
    const { value, files } = await writeOutput({ a: [png], b: 'text' }, folder, undefined)
    expect(value).toEqual({ a: [files[0]], b: 'text' })
  })

  test('says where it could not write', async () => {
    writeFileSync(join(folder, 'plain'), '')
    await expect(writeOutput(png, folder, 'plain/x.png')).rejects.toThrowError(
      expect.objectContaining({ code: 'FILE_UNWRITABLE' }),
    )
  })
})

test.each([
  ['data:text/plain;charset=utf-8;base64,aGk=', 'text/plain;charset=utf-8', 'hi'],
  ['data:,a%20b', 'text/plain', 'a b'],
  ['data:image/svg+xml,<svg/>', 'image/svg+xml', '<svg/>'],
  ['data:text/plain,50%off', 'text/plain', '50%off'],
])('parseDataUri(%s)', (text, mediaType, contents) => {
  expect(parseDataUri(text)).toEqual({ mediaType, name: undefined, bytes: Buffer.from(contents) })
})

test('parseDataUri() takes nothing else', () => {
  for (const text of ['https://x', 'data:text/plain', 'database,x']) expect(parseDataUri(text)).toBeUndefined()
})

test.each([
  ['a.PNG', 'image/png', 'png'],
  ['b.jpeg', 'image/jpeg', 'jpg'],
  ['song.mp3', 'audio/mpeg', 'mp3'],
  ['archive.tar', 'application/x-tar', 'tar'],
  ['noextension', 'application/octet-stream', 'bin'],
])('media type of %s', (name, mediaType, extension) => {
  expect(mediaTypeOf(name)).toBe(mediaType)
  expect(extensionOf(`${mediaType}; charset=x`)).toBe(extension)
})

test("cogCommand() keeps Cog's own server on the address that was asked for, and leaves other commands alone", () => {
  const command = ['/opt/venv/bin/python', '-m', 'cog.server.http']
  expect(cogCommand(command, '127.0.0.1')).toEqual([...command, '--host', '127.0.0.1'])
  expect(cogCommand([], '127.0.0.1')).toBeUndefined()
  expect(cogCommand(['/launch.py'], '127.0.0.1')).toBeUndefined()
})
