import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { ConfigError } from '../../src/config/issue.ts'
import { parseConfig } from '../../src/config/load.ts'
import { cogYamlJsonSchema } from '../../src/config/schema.ts'
import { renderConfigReference } from '../../src/config/reference.ts'

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
}

const cog = JSON.parse(readFileSync(join(packageRoot(), 'fixtures/config/cog-schema.json'), 'utf8')) as Schema

/** Every key of Cog's own schema as a path, such as `build.run[].mounts[].id`. */
function cogPaths(schema: Schema, path = ''): readonly string[] {
  const below = [
    ...Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
      const inner = path === '' ? name : `${path}.${name}`
      return [inner, ...cogPaths(child, inner)]
    }),
    ...(schema.items === undefined ? [] : cogPaths(schema.items, `${path}[]`)),
    ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].flatMap((branch) => cogPaths(branch, path)),
    ...(schema.$ref === undefined ? [] : cogPaths(cog.$defs?.[schema.$ref.split('/').at(-1) ?? ''] ?? {}, path)),
  ]
  return [...new Set(below)]
}

const weights = (source: string): string =>
  `model: r.test/m\nweights:\n  - name: w\n    target: /src/w\n    source: ${source}\n`

/** A cog.yaml that uses each key of Cog's, and the code with which it is refused where it is. */
const USES: Readonly<Record<string, readonly [text: string, refusedAs?: string]>> = {
  build: ['build: {}'],
  'build.cuda': ['build: {gpu: true, cuda: "12.4"}'],
  'build.cudnn': ['build: {gpu: true, cudnn: "9"}'],
  'build.gpu': ['build: {gpu: true}'],
  'build.python_version': ['build: {python_version: 3.12}'],
  'build.python_packages': ['build: {python_packages: [numpy==2.0]}'],
  'build.pre_install': ['build: {pre_install: [echo]}'],
  'build.python_requirements': ['build: {python_requirements: requirements.txt}'],
  'build.system_packages': ['build: {system_packages: [ffmpeg]}'],
  'build.sdk_version': ['build: {sdk_version: 0.18.0a1}'],
  'build.run': ['build: {run: [echo]}'],
  'build.run[].command': ['build: {run: [{command: echo}]}'],
  'build.run[].mounts': ['build: {run: [{command: echo, mounts: []}]}'],
  'build.run[].mounts[].type': ['build: {run: [{command: echo, mounts: [{type: secret, id: a, target: /a}]}]}'],
  'build.run[].mounts[].id': ['build: {run: [{command: echo, mounts: [{type: secret, id: a, target: /a}]}]}'],
  'build.run[].mounts[].target': ['build: {run: [{command: echo, mounts: [{type: secret, id: a, target: /a}]}]}'],
  image: ['image: r.test/team/model'],
  model: ['model: r.test/team/model'],
  run: ['run: run.py:Runner'],
  predict: ['predict: predict.py:Predictor'],
  train: ['train: train.py:train'],
  concurrency: ['concurrency: {max: 1}'],
  'concurrency.max': ['concurrency: {max: 4}'],
  'concurrency.default_target': ['concurrency: {max: 4, default_target: 2}'],
  environment: ['environment: [A=b]'],
  weights: ['model: r.test/m\nweights: []'],
  'weights[].name': [weights('{uri: weights}')],
  'weights[].target': [weights('{uri: weights}')],
  'weights[].source': [weights('{uri: weights}')],
  'weights[].source.uri': [weights('{uri: "hf://team/model"}')],
  'weights[].source.include': [weights('{uri: weights, include: ["*.bin"]}')],
  'weights[].source.exclude': [weights('{uri: weights, exclude: ["*.md"]}')],
  'weights[].source[].uri': [weights('[{uri: a}, {uri: b}]')],
  'weights[].source[].include': [weights('[{uri: a, include: ["*"]}]')],
  'weights[].source[].exclude': [weights('[{uri: a, exclude: ["*"]}]')],
}

describe('every key of Cog', () => {
  it('is in the table', () => {
    expect(Object.keys(USES).toSorted()).toEqual(cogPaths(cog).toSorted())
  })

  it.each(Object.entries(USES))('%s is taken, or refused with a reason', (_, [text, refusedAs]) => {
    if (refusedAs === undefined) expect(() => parseConfig(text)).not.toThrow()
    else {
      let codes: readonly string[] = []
      try {
        parseConfig(text)
      } catch (error) {
        codes = error instanceof ConfigError ? error.issues.map((issue) => issue.code) : []
      }
      expect(codes).toEqual([refusedAs])
    }
  })
})

describe('cogYamlJsonSchema()', () => {
  it('is a closed draft-7 schema in which every key has a description', () => {
    const schema = cogYamlJsonSchema()
    expect(schema).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#', additionalProperties: false })
    const undescribed: string[] = []
    const walk = (node: Record<string, unknown>, path: string): void => {
      for (const [name, child] of Object.entries(
        (node['properties'] ?? {}) as Record<string, Record<string, unknown>>,
      )) {
        if (typeof child['description'] !== 'string') undescribed.push(`${path}.${name}`)
        walk(child, `${path}.${name}`)
      }
      for (const branch of [node['items'], ...((node['anyOf'] ?? []) as unknown[])]) {
        if (typeof branch === 'object' && branch !== null) walk(branch as Record<string, unknown>, path)
      }
    }
    walk(schema, '')
    expect(undescribed).toEqual([])
  })

  it('lets an editor take versions without quotes', () => {
    expect(cogYamlJsonSchema()).toMatchObject({
      properties: { build: { properties: { python_version: { type: ['string', 'number'] } } } },
    })
  })
})

describe('docs/reference/cog.schema.json', () => {
  it('is what editors are told of by the examples, and up to date', () => {
    const written = readFileSync(join(packageRoot(), 'docs/reference/cog.schema.json'), 'utf8')
    expect(JSON.parse(written)).toEqual(JSON.parse(JSON.stringify(cogYamlJsonSchema())))
    for (const example of readdirSync(join(packageRoot(), 'examples'))) {
      const [, place] =
        /^# yaml-language-server: \$schema=(\S+)$/m.exec(
          readFileSync(join(packageRoot(), 'examples', example, 'cog.yaml'), 'utf8'),
        ) ?? []
      expect(place && join('examples', example, place)).toBe('docs/reference/cog.schema.json')
    }
  })
})

describe('docs/reference/cog-yaml.md', () => {
  it('is what the schema says; `node tools/reference.mjs` writes it anew', () => {
    expect(readFileSync(join(packageRoot(), 'docs/reference/cog-yaml.md'), 'utf8')).toBe(renderConfigReference())
  })
})
