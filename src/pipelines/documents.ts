import { withAdditions } from '../predictor/additions.ts'
import type { OperationDescription } from '../predictor/describe.ts'
import { makeOpenApi, type OpenApiDocument } from '../predictor/openapi.ts'

/** What one of several models or pipelines takes and gives; its addresses lie below `/models/NAME`. */
export function memberDocument(name: string, predict: OperationDescription): OpenApiDocument {
  const document = withAdditions(makeOpenApi({ predict }))
  const paths = Object.entries(document.paths).filter(([path]) => isPrediction(path) || path === '/openapi.json')
  return { ...document, servers: [{ url: `/models/${name}` }], paths: Object.fromEntries(paths) }
}

/**
 * The document of an image of several models: that of the default, with the others' addresses beside it.
 *
 * Components of a member are named with its name before them, as in `detect.Input`.
 */
export function combinedDocument(own: OpenApiDocument, members: ReadonlyMap<string, OpenApiDocument>): OpenApiDocument {
  const named = [...members].map(([name, document]) => prefixed(name, document))
  return {
    ...own,
    paths: { ...own.paths, '/models': LIST, ...Object.assign({}, ...named.map(({ paths }) => paths)) },
    components: {
      schemas: {
        ...own.components.schemas,
        ...Object.assign({}, ...named.map(({ components }) => components.schemas)),
      },
    },
  }
}

/** The component of a member, as {@link combinedDocument} names it. */
function memberComponent(name: string, component: string): string {
  return `${name}.${component}`
}

function isPrediction(path: string): boolean {
  return path === '/predictions' || path.startsWith('/predictions/')
}

/** Components that are the same for all. */
const SHARED = new Set(['Status', 'HTTPValidationError', 'ValidationError', 'ErrorResponse'])

function prefixed(name: string, document: OpenApiDocument): Pick<OpenApiDocument, 'paths' | 'components'> {
  const rename = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(rename)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, renamed(key, inner)]))
  }
  const renamed = (key: string, inner: unknown): unknown => {
    if (typeof inner !== 'string') return rename(inner)
    if (key === 'operationId') return `${name}.${inner}`
    const component = key === '$ref' ? /^#\/components\/schemas\/(.+)$/.exec(inner)?.[1] : undefined
    return component === undefined || SHARED.has(component)
      ? inner
      : `#/components/schemas/${memberComponent(name, component)}`
  }
  const paths = Object.entries(document.paths).map(([path, item]) => [`/models/${name}${path}`, rename(item)])
  const schemas = Object.entries(document.components.schemas).flatMap(([component, schema]) =>
    SHARED.has(component) ? [] : [[memberComponent(name, component), rename(schema)] as const],
  )
  return {
    paths: { [`/models/${name}`]: describeMember(name), ...Object.fromEntries(paths) },
    components: { schemas: Object.fromEntries(schemas) as OpenApiDocument['components']['schemas'] },
  }
}

const MEMBER = {
  type: 'object',
  properties: {
    modelName: { type: 'string' },
    modelUrl: { type: 'string' },
    kind: { type: 'string', enum: ['model', 'pipeline'] },
    status: { type: 'string' },
  },
  required: ['modelName', 'modelUrl', 'kind', 'status'],
}

const LIST = {
  get: {
    summary: 'The models and pipelines of this image',
    operationId: 'list_models',
    responses: {
      '200': json('All of them', { type: 'object', properties: { models: { type: 'array', items: MEMBER } } }),
    },
  },
}

function describeMember(name: string): unknown {
  return {
    get: {
      summary: `Whether ${name} takes predictions`,
      operationId: `${name}.describe`,
      responses: { '200': json('Its name, kind and state', MEMBER) },
    },
  }
}

function json(description: string, schema: object): object {
  return { description, content: { 'application/json': { schema } } }
}
