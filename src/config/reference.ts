import { cogYamlJsonSchema } from './schema.ts'

interface Schema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly additionalProperties?: boolean | Schema
  readonly deprecated?: boolean
  readonly replacement?: string
  readonly since?: string
}

/** The reference page of cog.yaml as Markdown, made from the schema. */
export function renderConfigReference(): string {
  const root = cogYamlJsonSchema() as Schema
  const sections = ['build', ...Object.keys(root.properties ?? {}).filter((key) => key !== 'build')]
  return `# cog.yaml

<!-- Made from src/config/schema.ts by tools/reference.mjs; a test fails when it is stale. -->

The file that says how a model is packaged. It is looked for in the project folder and in those above it.
A key that is not on this page is an error. Keys marked "ours" are not in Cog.

- Versions need no quotes: \`3.10\` stays \`3.10\`.
- A key without a value counts as not given.
- Aliases and merge keys (\`<<\`) work; tags do not.

## At the top level

${table(root, '')}
${sections.map((key) => section(key, root.properties?.[key])).join('')}`
}

function section(path: string, schema: Schema | undefined): string {
  if (schema === undefined) return ''
  return objectsOf(schema, path)
    .map(([inner, object, description]) => `\n## \`${inner}\`\n\n${description}\n\n${table(object, inner)}\n`)
    .join('')
}

/** Every mapping at or below a key, with its path and the nearest description. */
function objectsOf(schema: Schema, path: string, around: string = ''): readonly (readonly [string, Schema, string])[] {
  const description = schema.description ?? around
  const own: readonly (readonly [string, Schema, string])[] =
    schema.properties === undefined ? [] : [[path, schema, description]]
  return [
    ...own,
    ...Object.entries(schema.properties ?? {}).flatMap(([name, child]) => objectsOf(child, `${path}.${name}`)),
    ...(schema.items === undefined ? [] : objectsOf(schema.items, `${path}[]`, description)),
    ...(schema.anyOf ?? []).flatMap((branch) => objectsOf(branch, path, description)),
    ...(typeof schema.additionalProperties === 'object' && schema.properties === undefined
      ? objectsOf(schema.additionalProperties, `${path}.NAME`, description)
      : []),
  ]
}

function table(schema: Schema, path: string): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, child]) => {
    const notes = [
      schema.required?.includes(name) === true && path !== '' ? '**Required.**' : '',
      child.deprecated === true ? `**Deprecated.** ${child.replacement ?? ''}` : '',
      child.description ?? '',
      child.default === undefined ? '' : `Default: \`${plain(child.default)}\`.`,
      child.since === undefined ? '' : '*(ours)*',
    ]
    return `| \`${name}\` | ${typeName(child)} | ${notes.filter((note) => note !== '').join(' ')} |`
  })
  return ['| key | value | meaning |', '|---|---|---|', ...rows].join('\n')
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function isMappingOfText({ additionalProperties: free }: Schema): boolean {
  return typeof free === 'object' && free.type === 'string'
}

function typeName(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ')
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeName))].join(', or ')
  if (schema.items !== undefined) return `list of ${typeName(schema.items)}`
  const [type] = [schema.type].flat()
  if (type === 'object') return isMappingOfText(schema) ? 'mapping of text' : 'mapping'
  return (
    { string: 'text', boolean: '`true` or `false`', integer: 'whole number', number: 'number' }[type ?? ''] ?? 'any'
  )
}
