import { readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { z } from 'zod'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { nearest } from '../../core/suggest.ts'
import { mediaTypeOf } from './media-type.ts'

/** What of an OpenAPI document matters here: the properties of the model's input. */
const schemaSchema = z.looseObject({
  components: z.looseObject({ schemas: z.record(z.string(), z.unknown()) }),
})

/** The properties of a model's input by name, references resolved, and which of them have to be given. */
export interface InputSchema {
  readonly properties: ReadonlyMap<string, Property>
  readonly required: readonly string[]
}

/** One input: the JSON types that it takes. */
interface Property {
  readonly types: readonly string[]
  /** Types of the members, when it is a list. */
  readonly items: readonly string[]
}

const MAX_FILE_BYTES = 2 ** 29

/**
 * Finds the model's input in an OpenAPI document.
 *
 * @param component `Input`, or `TrainingInput`
 * @returns undefined when the document describes none
 */
export function parseInputSchema(document: unknown, component = 'Input'): InputSchema | undefined {
  const parsed = schemaSchema.safeParse(document)
  const schemas = parsed.success ? parsed.data.components.schemas : {}
  const input = asObject(schemas[component])
  if (input === undefined) return undefined
  const properties = Object.entries(asObject(input['properties']) ?? {})
  return {
    properties: new Map(
      properties.map(([name, property]) => [
        name,
        { types: typesOf(property, schemas), items: typesOf(findItems(property, schemas), schemas) },
      ]),
    ),
    required: Array.isArray(input['required']) ? input['required'].filter((name) => typeof name === 'string') : [],
  }
}

/**
 * Turns `name=value` words into the inputs of a prediction. A value is read as its input's type; `@file` is the file's
 * contents as a data URI; a list takes several words of the same name, or one in JSON.
 *
 * @param schema undefined when unknown: then a value that is JSON is taken as that, else as text
 * @throws BuildError USAGE for a word without `=`, INPUT_INVALID (all problems at once), FILE_UNREADABLE
 */
export function parseInputs(
  words: readonly string[],
  schema: InputSchema | undefined,
  folder: string,
): Record<string, unknown> {
  const values = new Map<string, unknown[]>()
  const problems: string[] = []
  for (const word of words) {
    const equals = word.indexOf('=')
    if (equals <= 0) throw new BuildError('USAGE', `An input is \`name=value\` or \`name=@file\`, not: \`${word}\``)
    const name = word.slice(0, equals)
    const property = schema?.properties.get(name)
    if (schema !== undefined && property === undefined) {
      const near = nearest(name, schema.properties.keys())
      problems.push(`unknown input \`${name}\`${near === undefined ? '' : `, did you mean \`${near}\`?`}`)
      continue
    }
    const parsed = parseValue(word.slice(equals + 1), property, folder)
    if ('problem' in parsed) problems.push(`\`${name}\` ${parsed.problem}`)
    else values.set(name, [...(values.get(name) ?? []), parsed.value])
  }
  const inputs: Record<string, unknown> = {}
  for (const [name, given] of values) {
    const isList = schema?.properties.get(name)?.types.includes('array') === true
    if (isList) inputs[name] = given.flat()
    else if (given.length === 1) inputs[name] = given[0]
    else problems.push(`\`${name}\` is given ${given.length} times but takes one value`)
  }
  for (const name of schema?.required ?? []) {
    if (!values.has(name) && !problems.some((problem) => problem.includes(`\`${name}\``)))
      problems.push(`\`${name}\` is missing`)
  }
  if (problems.length > 0) {
    throw new BuildError('INPUT_INVALID', `The inputs do not fit the model: ${problems.join('; ')}`, {
      hint: schema === undefined ? undefined : `The model takes ${describe(schema)}.`,
      data: { problems },
    })
  }
  return inputs
}

function describe(schema: InputSchema): string {
  const names = [...schema.properties].map(([name, { types }]) => {
    const mark = schema.required.includes(name) ? '' : '?'
    return `${name}${mark} (${types.join(' or ') || 'anything'})`
  })
  return names.length === 0 ? 'no inputs' : names.join(', ')
}

type Parsed = { readonly value: unknown } | { readonly problem: string }

function parseValue(text: string, property: Property | undefined, folder: string): Parsed {
  if (text.startsWith('@')) return { value: readAsDataUri(resolve(folder, text.slice(1))) }
  if (property === undefined) return { value: parseJson(text)?.value ?? text }
  const isList = property.types.includes('array')
  if (isList) {
    const json = parseJson(text)
    if (Array.isArray(json?.value)) return { value: json.value }
  }
  const types = isList ? property.items : property.types
  const fitting = types.map((type) => readAs(text, type)).find((value) => value !== undefined)
  if (fitting !== undefined) return fitting
  if (types.length === 0) return { value: parseJson(text)?.value ?? text }
  return { problem: `takes ${types.join(' or ')}, not \`${text.length > 60 ? `${text.slice(0, 60)}...` : text}\`` }
}

/** Reads a text as one JSON type; undefined when it is none. */
function readAs(text: string, type: string): { value: unknown } | undefined {
  const json = parseJson(text)
  switch (type) {
    case 'string':
      return { value: text }
    case 'integer':
      return typeof json?.value === 'number' && Number.isInteger(json.value) ? json : undefined
    case 'number':
      return typeof json?.value === 'number' ? json : undefined
    case 'boolean': {
      const word = text.toLowerCase()
      if (['true', '1', 'yes', 'on'].includes(word)) return { value: true }
      return ['false', '0', 'no', 'off'].includes(word) ? { value: false } : undefined
    }
    case 'object':
      return asObject(json?.value) === undefined ? undefined : json
    case 'array':
      return Array.isArray(json?.value) ? json : undefined
    case 'null':
      return text === 'null' ? { value: null } : undefined
    default:
      return undefined
  }
}

function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    // Most values are plain text.
    return undefined
  }
}

function readAsDataUri(file: string): string {
  try {
    const { size } = statSync(file)
    if (size > MAX_FILE_BYTES) {
      throw new BuildError('INPUT_INVALID', `A file of ${size} bytes does not fit into a request: ${file}`, {
        hint: 'Give the model a URL instead.',
      })
    }
    return `data:${mediaTypeOf(basename(file))};base64,${readFileSync(file).toString('base64')}`
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    throw new BuildError('FILE_UNREADABLE', `Cannot read the input file: ${file}`, { cause: error })
  }
}

/** The JSON types that a schema allows, through `$ref`, `allOf`, `anyOf` and `enum`; strings last, as they take anything. */
function typesOf(schema: unknown, schemas: Readonly<Record<string, unknown>>, depth = 0): string[] {
  const object = asObject(schema)
  if (object === undefined || depth > 20) return []
  const reference = object['$ref']
  if (typeof reference === 'string') return typesOf(schemas[reference.split('/').at(-1) ?? ''], schemas, depth + 1)
  const own = typeof object['type'] === 'string' ? [object['type']] : []
  const parts = ['allOf', 'anyOf', 'oneOf'].flatMap((key) =>
    Array.isArray(object[key]) ? (object[key] as unknown[]) : [],
  )
  const nullable = object['nullable'] === true ? ['null'] : []
  const types = [...new Set([...own, ...parts.flatMap((part) => typesOf(part, schemas, depth + 1)), ...nullable])]
  return [...types.filter((type) => type !== 'string'), ...types.filter((type) => type === 'string')]
}

function findItems(schema: unknown, schemas: Readonly<Record<string, unknown>>, depth = 0): unknown {
  const object = asObject(schema)
  if (object === undefined || depth > 20) return undefined
  if (object['items'] !== undefined) return object['items']
  const reference = object['$ref']
  if (typeof reference === 'string') return findItems(schemas[reference.split('/').at(-1) ?? ''], schemas, depth + 1)
  const parts = ['allOf', 'anyOf', 'oneOf'].flatMap((key) =>
    Array.isArray(object[key]) ? (object[key] as unknown[]) : [],
  )
  return parts.map((part) => findItems(part, schemas, depth + 1)).find((items) => items !== undefined)
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined
}
