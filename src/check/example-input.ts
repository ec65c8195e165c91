/** An OpenAPI document, as far as an example needs it. */
interface Document {
  readonly components?: { readonly schemas?: Readonly<Record<string, Node>> }
}

interface Node {
  readonly $ref?: string
  readonly allOf?: readonly Node[]
  readonly anyOf?: readonly Node[]
  readonly type?: string
  readonly format?: string
  readonly 'x-cog-accept'?: string
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly minimum?: number
  readonly minLength?: number
  readonly items?: Node
  readonly properties?: Readonly<Record<string, Node>>
  readonly required?: readonly string[]
}

/** An input with every required field, made from the model's OpenAPI document; a pattern may refuse it. */
export function exampleInput(document: unknown): Record<string, unknown> {
  const schemas = (document as Document | undefined)?.components?.schemas ?? {}
  const input = schemas['Input'] ?? {}
  const required = input.required ?? []
  return Object.fromEntries(required.map((name) => [name, example(input.properties?.[name] ?? {}, schemas)]))
}

function example(node: Node, schemas: Readonly<Record<string, Node>>, depth = 0): unknown {
  if (node.default !== undefined) return node.default
  if (node.enum !== undefined) return node.enum[0]
  const target = node.$ref?.split('/').at(-1)
  const next = target === undefined ? (node.allOf?.[0] ?? node.anyOf?.[0]) : schemas[target]
  if (next !== undefined && depth < 16) return example(next, schemas, depth + 1)
  switch (node.type) {
    case 'string':
      return node.format === 'uri' ? exampleFile(node['x-cog-accept']) : 'a'.repeat(Math.max(1, node.minLength ?? 1))
    case 'integer':
    case 'number':
      return node.minimum ?? 1
    case 'boolean':
      return false
    case 'array':
      return []
    default:
      return {}
  }
}

/** One white pixel. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC'

/** A picture where the input takes pictures, else a text. */
function exampleFile(accept: string = ''): string {
  return /image\/(\*|png)|\.png/.test(accept) ? `data:image/png;base64,${PNG}` : 'data:text/plain;base64,YQ=='
}
