import { z } from 'zod'
import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { nearest } from '../core/suggest.ts'
import { isFormerKey } from './former-keys.ts'
import { cogYamlSchema, VERBATIM_PATHS } from './schema.ts'
import { formatPath, locate, type PathPart, type Span, type Tree } from './tree.ts'

/** A problem with the shape of the data, before it has a line and column. */
export interface ShapeIssue {
  readonly code: DiagnosticCode
  readonly message: string
  readonly path: readonly PathPart[]
  readonly span: Span
  readonly hint?: string | undefined
  readonly suggestion?: string | undefined
}

/** Keys at the top level that hold what anchors are put on: read by nobody, as in Compose files. */
const EXTENSION = /^x-/

/**
 * What stands in the tree, as plain data for the schema.
 *
 * Keys with nothing behind them count as not given, and so do those at the top level that start with `x-`, and those that
 * Cog had once.
 */
export function toPlain(tree: Tree, path: string = ''): unknown {
  switch (tree.kind) {
    case 'list':
      return tree.items.map((item) => toPlain(item, `${path}.*`))
    case 'map': {
      const plain: Record<string, unknown> = {}
      for (const [name, { value }] of tree.entries) {
        if (value.kind === 'scalar' && value.value === null) continue
        const at = path === '' ? name : `${path}.${name}`
        if ((path === '' && EXTENSION.test(name)) || isFormerKey(at)) continue
        // A key named __proto__ must be an ordinary, unknown key.
        Object.defineProperty(plain, name, {
          value: toPlain(value, at),
          enumerable: true,
          configurable: true,
          writable: true,
        })
      }
      return plain
    }
    case 'scalar':
      if (VERBATIM_PATHS.has(path) && (typeof tree.value === 'number' || typeof tree.value === 'bigint'))
        return tree.source
      return YES_NO.get(tree.value === null ? '' : String(tree.value)) !== undefined && path === 'build.gpu'
        ? YES_NO.get(String(tree.value))
        : tree.value
  }
}

/** Cog's YAML reader takes the booleans of YAML 1.1 for a boolean key; so does this one. */
const YES_NO: ReadonlyMap<string, boolean> = new Map(
  Object.entries({
    yes: true,
    Yes: true,
    YES: true,
    on: true,
    On: true,
    no: false,
    No: false,
    NO: false,
    off: false,
    Off: false,
  }),
)

/** Checks data against the schema and says each problem in the words of the configuration. */
export function checkShape(plain: unknown, tree: Tree): readonly ShapeIssue[] {
  const result = cogYamlSchema.safeParse(plain)
  const found = result.success ? [] : result.error.issues.flatMap((issue) => explain(issue, issue.path, tree, plain))
  return [...found, ...prototypeKeys(tree, found)]
}

/** Where names are free the schema passes this one by in silence, and nothing can have it. */
function prototypeKeys(tree: Tree, found: readonly ShapeIssue[], path: readonly PathPart[] = []): ShapeIssue[] {
  if (tree.kind === 'list') return tree.items.flatMap((item, index) => prototypeKeys(item, found, [...path, index]))
  if (tree.kind !== 'map') return []
  const isTold = found.some((issue) => formatPath(issue.path) === formatPath([...path, '__proto__']))
  const own = tree.entries.has('__proto__') && !isTold ? [unknownKey('__proto__', path, tree)] : []
  const below = [...tree.entries].flatMap(([key, { value }]) => prototypeKeys(value, found, [...path, key]))
  return [...own, ...below]
}

function explain(issue: z.core.$ZodIssue, path: readonly PropertyKey[], tree: Tree, plain: unknown): ShapeIssue[] {
  const at = path as readonly PathPart[]
  switch (issue.code) {
    case 'unrecognized_keys':
      // A file of nothing but unknown keys is told by its first ones.
      return issue.keys.slice(0, MAX_UNKNOWN_KEYS).map((key) => unknownKey(key, at, tree))
    case 'invalid_union':
      return explainUnion(issue, at, tree, plain)
    case 'invalid_type':
      return [wrongType(issue.expected, at, tree)]
    case 'invalid_value':
      return [wrongValue(issue.values.map(String), at, tree)]
    case 'invalid_key':
    case 'invalid_element':
      return issue.issues.flatMap((inner) => explain(inner, [...at, ...inner.path], tree, plain))
    default:
      return [
        {
          code: 'invalid-value',
          message: withValue(issue.message, at, tree),
          path: at,
          span: valueSpan(at, tree),
          hint: HINTS[pattern(at)],
        },
      ]
  }
}

/** The branch that came furthest is the one that was meant. */
function explainUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  at: readonly PathPart[],
  tree: Tree,
  plain: unknown,
): ShapeIssue[] {
  const branches = issue.errors.filter(
    (errors) => !errors.some((error) => error.path.length === 0 && error.code === 'invalid_type'),
  )
  const branch = branches[0]
  if (branch !== undefined) {
    return branch.flatMap((error) => explain(error, [...at, ...error.path], tree, plain))
  }
  const expected = issue.errors.flatMap((errors) =>
    errors.map((error) => ('expected' in error ? String(error.expected) : '')),
  )
  return [wrongType(expected.filter((type) => type !== '').join('|'), at, tree)]
}

function unknownKey(key: string, parent: readonly PathPart[], tree: Tree): ShapeIssue {
  const keys = keysAt(parent)
  const suggestion = nearest(key, keys)
  const where = parent.length === 0 ? 'at the top level' : `in \`${formatPath(parent)}\``
  return {
    code: 'unknown-key',
    message: `Unknown key ${where}: \`${key}\``,
    path: [...parent, key],
    span: locate(tree, [...parent, key]).keySpan ?? tree.span,
    suggestion,
    hint:
      REMOVED[key] ??
      elsewhere(key, parent) ??
      (suggestion === undefined ? `Known keys here: ${keys.join(', ')}.` : undefined),
  }
}

const ENVIRONMENT = 'Use `environment` at the top level, with entries `NAME=value`.'

/** Keys that Cog had, or that people expect, with what to do instead. */
const REMOVED: Readonly<Record<string, string>> = {
  conda: 'Conda environments are not built. Name the packages in `python_requirements`, or use `build.base_image`.',
  dockerfile: 'There is no Dockerfile. Use `build.base_image` and `build.run`.',
  pip: 'Name a file in `build.python_requirements`.',
  apt: 'Use `build.system_packages`.',
  env: ENVIRONMENT,
  env_vars: ENVIRONMENT,
  environment_variables: ENVIRONMENT,
  python: 'Use `build.python_version`.',
  packages: 'Use `build.python_requirements` for Python packages, `build.system_packages` for those of Debian.',
  resources: 'Hardware is chosen where the image runs. Files to bring along are named under `weights`.',
}

function elsewhere(key: string, parent: readonly PathPart[]): string | undefined {
  const places = ['', 'build', 'build.targets', 'build.python_index', 'build.debian', 'concurrency']
  const here = formatPath(parent)
  const place = places.find((place) => place !== here && keysAt(place === '' ? [] : place.split('.')).includes(key))
  if (place === undefined) return undefined
  return place === '' ? `\`${key}\` belongs at the top level.` : `\`${key}\` belongs under \`${place}\`.`
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly additionalProperties?: boolean | JsonSchema
}

const MAX_UNKNOWN_KEYS = 50

/** Made once, and only when something is wrong. */
let jsonSchema: JsonSchema | undefined

/** The keys that may stand in the mapping at a path. */
function keysAt(path: readonly PathPart[]): readonly string[] {
  jsonSchema ??= z.toJSONSchema(cogYamlSchema, { target: 'draft-7', io: 'input' }) as JsonSchema
  let schemas: readonly JsonSchema[] = [jsonSchema]
  for (const part of path) {
    schemas = schemas
      .flatMap((schema) => [schema, ...(schema.anyOf ?? [])])
      .flatMap((schema) => (typeof part === 'number' ? schema.items : memberOf(schema, part)) ?? [])
  }
  return schemas
    .flatMap((schema) => [schema, ...(schema.anyOf ?? [])])
    .flatMap((schema) => Object.keys(schema.properties ?? {}))
}

/** The schema of one key; those of a mapping with free names share one. */
function memberOf({ properties = {}, additionalProperties: free }: JsonSchema, key: string): JsonSchema | undefined {
  if (Object.hasOwn(properties, key)) return properties[key]
  return typeof free === 'object' ? free : undefined
}

function wrongType(expected: string, at: readonly PathPart[], tree: Tree): ShapeIssue {
  const found = locate(tree, at).tree
  const name = formatPath(at)
  const missing = !exists(tree, at)
  if (missing) {
    const parent = at.slice(0, -1)
    return {
      code: 'missing-key',
      message: `\`${formatPath(parent)}\` has no \`${String(at.at(-1))}\``,
      path: at,
      span: locate(tree, parent).keySpan ?? valueSpan(parent, tree),
    }
  }
  const wanted = expected.split('|').map((type) => TYPE_NAMES[type] ?? type)
  return {
    code: 'wrong-type',
    message: `${name === '' ? 'The file' : `\`${name}\``} must be ${[...new Set(wanted)].join(' or ')}, not ${kindOf(found)}`,
    path: at,
    span: valueSpan(at, tree),
    hint: HINTS[pattern(at)] ?? typeHint(expected, found),
  }
}

function typeHint(expected: string, found: Tree): string | undefined {
  if (found.kind !== 'scalar') return undefined
  if (expected === 'array') return `Write it as a list: \`- ${found.source}\` on a line of its own.`
  if (expected === 'string') return `Put it in quotes: "${found.source}".`
  if (expected === 'boolean') return 'Write `true` or `false`, without quotes.'
  return undefined
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: '`true` or `false`',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

/** Hints for places where people often write something else. */
const HINTS: Readonly<Record<string, string>> = {
  environment: 'Write a list with one entry a variable: `- NAME=value`.',
  'environment.*': 'Write a list with one entry a variable: `- NAME=value`.',
  run: 'Name the file and the class in it, such as `predict.py:Predictor`.',
  predict: 'Name the file and the class in it, such as `predict.py:Predictor`.',
  train: 'Name the file and the function in it, such as `train.py:train`.',
  models: 'Write a mapping from names to models: `models: {detect: {run: "detect.py:Detector"}}`.',
  pipelines: 'Write a mapping from names to lists of steps: `pipelines: {main: [detect, classify]}`.',
  concurrency: 'Write a mapping with `max`: `concurrency: {max: 2}`.',
  'build.python_requirements': 'Name one file here; a list of packages is `python_packages`.',
  'weights.*.source': 'Write a mapping with `uri`: `source: {uri: weights/model.bin}`.',
  'build.cuda': 'Give major and minor, such as `12.8`. `12` alone does not say which image to take.',
}

function pattern(path: readonly PathPart[]): string {
  return path.map((part) => (typeof part === 'number' ? '*' : part)).join('.')
}

function wrongValue(values: readonly string[], at: readonly PathPart[], tree: Tree): ShapeIssue {
  const found = locate(tree, at).tree
  const given = found.kind === 'scalar' ? found.source : ''
  if (found.kind !== 'scalar' || !exists(tree, at)) return wrongType('string', at, tree)
  return {
    code: 'invalid-value',
    message: `\`${formatPath(at)}\` cannot be \`${given}\``,
    path: at,
    span: valueSpan(at, tree),
    suggestion: nearest(given, values),
    hint: `Use one of: ${values.join(', ')}.`,
  }
}

function withValue(message: string, at: readonly PathPart[], tree: Tree): string {
  const found = locate(tree, at).tree
  if (found.kind !== 'scalar' || found.source === '') return `${message} (\`${formatPath(at)}\`)`
  const text = found.source.length > 60 ? `${found.source.slice(0, 60)}...` : found.source
  return `${message}: \`${text.replaceAll(/\s+/g, ' ')}\``
}

function exists(tree: Tree, path: readonly PathPart[]): boolean {
  const parent = locate(tree, path.slice(0, -1)).tree
  const last = path.at(-1)
  if (last === undefined) return true
  if (parent.kind === 'list') return typeof last === 'number' && last < parent.items.length
  if (parent.kind !== 'map') return false
  const value = parent.entries.get(String(last))?.value
  return value !== undefined && !(value.kind === 'scalar' && value.value === null)
}

/** Where to point for a value: at itself when it is on one line of text, else at its key. */
export function valueSpan(path: readonly PathPart[], tree: Tree): Span {
  const { tree: found, keySpan } = locate(tree, path)
  return found.kind === 'scalar' ? found.span : (keySpan ?? found.span)
}

function kindOf(tree: Tree): string {
  if (tree.kind === 'list') return 'a list'
  if (tree.kind === 'map') return 'a mapping'
  if (tree.value === null) return 'nothing'
  if (typeof tree.value === 'boolean') return `\`${tree.source}\``
  return typeof tree.value === 'string' ? 'text' : 'a number'
}
