import type { ValueType } from './value-type.ts'

/** A JSON Schema as OpenAPI 3.0 has it. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** The schema of a type, without a title. */
export function schemaOf(type: ValueType): JsonSchema {
  switch (type.kind) {
    case 'string':
    case 'integer':
    case 'number':
    case 'boolean':
      return { type: type.kind }
    case 'path':
    case 'file':
      return { type: 'string', format: 'uri' }
    case 'secret':
      return { type: 'string', format: 'password', writeOnly: true, 'x-cog-secret': true }
    case 'any':
      return {}
    case 'opaque':
      return { type: 'object' }
    case 'none':
      // OpenAPI 3.0 has no null type.
      return { type: 'object', nullable: true, enum: [null] }
    case 'list':
      return { type: 'array', items: schemaOf(type.item) }
    case 'dict':
      return type.value.kind === 'any'
        ? { type: 'object' }
        : { type: 'object', additionalProperties: schemaOf(type.value) }
    case 'literal':
      return { ...literalType(type.values), enum: type.values }
    case 'union':
      return { anyOf: type.members.map(schemaOf) }
    case 'nullable':
      return { ...schemaOf(type.of), nullable: true }
    case 'object': {
      const required = type.fields.filter((field) => field.required).map((field) => field.name)
      return {
        type: 'object',
        properties: Object.fromEntries(
          type.fields.map(({ name, type, description }) => [
            name,
            { ...schemaOf(type), title: titleOf(name), ...(description === undefined ? {} : { description }) },
          ]),
        ),
        ...(required.length === 0 ? {} : { required }),
      }
    }
    case 'iterator':
      return {
        type: 'array',
        items: schemaOf(type.item),
        'x-cog-array-type': 'iterator',
        ...(type.concatenate ? { 'x-cog-array-display': 'concatenate' } : {}),
      }
  }
}

/** The one JSON type of some values, if they have one. */
export function literalType(values: readonly unknown[]): {
  readonly type?: 'string' | 'integer' | 'number' | 'boolean'
} {
  if (values.every((value) => typeof value === 'string')) return { type: 'string' }
  if (values.every((value) => typeof value === 'boolean')) return { type: 'boolean' }
  if (values.every((value) => Number.isInteger(value))) return { type: 'integer' }
  return values.every((value) => typeof value === 'number') ? { type: 'number' } : {}
}

/** `old_seed` becomes `Old Seed`. */
export function titleOf(name: string): string {
  return name
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(' ')
}
