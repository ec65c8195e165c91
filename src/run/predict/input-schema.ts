import { z } from 'zod'
import { limitsOf, type Limits } from './limits.ts'

/** What of an OpenAPI document matters here: the properties of the model's input. */
const documentSchema = z.looseObject({
  components: z.looseObject({ schemas: z.record(z.string(), z.unknown()) }),
})

type Fields = Readonly<Record<string, unknown>>
type Schemas = Fields

/** The properties of a model's input by name, references resolved, and which of them have to be given. */
export interface InputSchema {
  readonly properties: ReadonlyMap<string, Property>
  readonly required: readonly string[]
}

/** One input. */
export interface Property {
  /** The JSON types that it takes; strings last, as any text is one. */
  readonly types: readonly string[]
  /** Types of the members, when it is a list. */
  readonly items: readonly string[]
  /** Whether it, or each member of the list, is a file: a string of the format `uri`. */
  readonly isFile: boolean
  /** What holds for it, or for each member of the list. */
  readonly limits: Limits
}

/**
 * Finds the model's input in an OpenAPI document.
 *
 * @param component `Input`, or `TrainingInput`
 * @returns undefined when the document describes none
 */
export function parseInputSchema(document: unknown, component = 'Input'): InputSchema | undefined {
  const schemas = schemasOf(document)
  const input = asObject(schemas[component])
  if (input === undefined) return undefined
  const properties = Object.entries(asObject(input['properties']) ?? {})
  return {
    properties: new Map(properties.map(([name, property]) => [name, readProperty(property, schemas)])),
    required: Array.isArray(input['required']) ? input['required'].filter((name) => typeof name === 'string') : [],
  }
}

/**
 * Whether the pieces of the model's output are one text, as Cog's `ConcatenateIterator` says.
 *
 * @param component `Output`, or `TrainingOutput`
 */
export function isConcatenated(document: unknown, component = 'Output'): boolean {
  return asObject(schemasOf(document)[component])?.['x-cog-array-display'] === 'concatenate'
}

function schemasOf(document: unknown): Schemas {
  const parsed = documentSchema.safeParse(document)
  return parsed.success ? parsed.data.components.schemas : {}
}

function readProperty(property: unknown, schemas: Schemas): Property {
  const items = findItems(property, schemas)
  const one = partsOf(items ?? property, schemas)
  return {
    types: typesOf(property, schemas),
    items: typesOf(items, schemas),
    isFile: one.some((part) => part['format'] === 'uri'),
    limits: limitsOf(one),
  }
}

/** A schema and what it is put together of, through `$ref`, `allOf` and, where they allow one thing or null, `anyOf`. */
function partsOf(schema: unknown, schemas: Schemas, depth = 0): readonly Fields[] {
  const object = asObject(schema)
  if (object === undefined || depth > 20) return []
  const choices = alternatives(object, ['anyOf', 'oneOf']).filter((part) => asObject(part)?.['type'] !== 'null')
  const inner = [
    referenced(object, schemas),
    ...alternatives(object, ['allOf']),
    ...(choices.length === 1 ? choices : []),
  ]
  return [object, ...inner.flatMap((part) => partsOf(part, schemas, depth + 1))]
}

function typesOf(schema: unknown, schemas: Schemas, depth = 0): string[] {
  const object = asObject(schema)
  if (object === undefined || depth > 20) return []
  const reference = referenced(object, schemas)
  if (reference !== undefined) return typesOf(reference, schemas, depth + 1)
  const own = typeof object['type'] === 'string' ? [object['type']] : []
  const parts = alternatives(object, ['allOf', 'anyOf', 'oneOf'])
  const nullable = object['nullable'] === true ? ['null'] : []
  const types = [...new Set([...own, ...parts.flatMap((part) => typesOf(part, schemas, depth + 1)), ...nullable])]
  return [...types.filter((type) => type !== 'string'), ...types.filter((type) => type === 'string')]
}

function findItems(schema: unknown, schemas: Schemas, depth = 0): unknown {
  const object = asObject(schema)
  if (object === undefined || depth > 20) return undefined
  if (object['items'] !== undefined) return object['items']
  const reference = referenced(object, schemas)
  if (reference !== undefined) return findItems(reference, schemas, depth + 1)
  return alternatives(object, ['allOf', 'anyOf', 'oneOf'])
    .map((part) => findItems(part, schemas, depth + 1))
    .find((items) => items !== undefined)
}

function referenced(object: Fields, schemas: Schemas): unknown {
  const reference = object['$ref']
  return typeof reference === 'string' ? schemas[reference.split('/').at(-1) ?? ''] : undefined
}

function alternatives(object: Fields, keys: readonly string[]): readonly unknown[] {
  return keys.flatMap((key) => (Array.isArray(object[key]) ? (object[key] as unknown[]) : []))
}

/** An object of JSON; undefined for anything else. */
export function asObject(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}
