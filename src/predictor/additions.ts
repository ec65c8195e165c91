import type { OpenApiDocument } from './openapi.ts'
import type { JsonSchema } from './json-schema.ts'

/*
 * What the server in the image answers beyond Cog's document, so that the document describes all of it. Cog's own parts
 * stay as they are; `docs/reference/openapi.md` lists the additions.
 */

/** A document with the routes, answers and request fields that Cog's lacks. */
export function withAdditions(document: OpenApiDocument): OpenApiDocument {
  const paths = Object.entries(document.paths).flatMap(([path, item]) => extendPath(path, item as PathItem))
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) => [name, extendSchema(name, schema, document)] as const,
  )
  return {
    ...document,
    paths: { ...Object.fromEntries(paths), ...SERVICE_PATHS },
    components: { schemas: { ...Object.fromEntries(schemas), ...putRequests(schemas), ErrorResponse: ERROR } },
  }
}

interface Operation {
  readonly operationId: string
  readonly parameters?: readonly JsonSchema[]
  readonly responses: Readonly<Record<string, JsonSchema>>
  readonly requestBody?: JsonSchema
}

interface PathItem {
  readonly post?: Operation
}

function extendPath(path: string, item: PathItem): readonly (readonly [string, unknown])[] {
  const create = item.post
  if (create === undefined) return [[path, item]]
  if (path.endsWith('/cancel')) {
    return [[path, { post: { ...create, responses: { ...create.responses, '404': EMPTY_NOT_FOUND } } }]]
  }
  const isTraining = path === '/trainings'
  const what = isTraining ? 'training' : 'prediction'
  const parameter = { name: `${what}_id`, in: 'path', required: true, schema: { type: 'string' } }
  const answers = { ...create.responses, ...CREATE_ANSWERS }
  const success = create.responses['200'] ?? {}
  const response = { $ref: `#/components/schemas/${isTraining ? 'TrainingResponse' : 'PredictionResponse'}` }
  return [
    [
      path,
      {
        ...item,
        post: {
          ...create,
          parameters: [PREFER],
          requestBody: { ...create.requestBody, required: true },
          responses: answers,
        },
        get: {
          summary: `List the ${what}s that are kept`,
          operationId: `list_${what}s`,
          responses: { '200': json('The newest first', listOf(response)) },
        },
      },
    ],
    [
      `${path}/{${what}_id}`,
      {
        put: {
          ...create,
          // The id is in the path, and one in the body could only contradict it.
          requestBody: body(`${isTraining ? 'Training' : 'Prediction'}PutRequest`),
          summary: `Run a ${what} under an id of your own; asking again runs nothing again`,
          operationId: `put_${what}`,
          parameters: [parameter, PREFER],
          responses: answers,
        },
        get: {
          summary: `Read a ${what}`,
          operationId: `get_${what}`,
          parameters: [parameter],
          responses: { '200': success, '404': failure('There is none of this id') },
        },
      },
    ],
    [
      `${path}/{${what}_id}/stream`,
      {
        get: {
          summary: `Follow a ${what} as server-sent events`,
          operationId: `stream_${what}`,
          parameters: [parameter],
          responses: { '200': EVENTS, '404': failure('There is none of this id') },
        },
      },
    ],
  ]
}

function extendSchema(name: string, schema: JsonSchema, document: OpenApiDocument): JsonSchema {
  if (name !== 'PredictionRequest' && name !== 'TrainingRequest') return schema
  const input = document.components.schemas[name === 'TrainingRequest' ? 'TrainingInput' : 'Input']
  return {
    ...schema,
    properties: { ...(schema['properties'] as JsonSchema), ...REQUEST_FIELDS },
    // Cog's document allows a request without `input` even where the model cannot run without one.
    ...(input?.['required'] === undefined ? {} : { required: ['input'] }),
  }
}

const REQUEST_FIELDS = {
  id: { title: 'Id', type: 'string', minLength: 1, maxLength: 512, nullable: true },
  context: { title: 'Context', type: 'object', additionalProperties: { type: 'string' }, nullable: true },
  webhook: { title: 'Webhook', type: 'string', format: 'uri', nullable: true },
  webhook_events_filter: {
    title: 'Webhook Events Filter',
    type: 'array',
    items: { type: 'string', enum: ['start', 'output', 'logs', 'completed'] },
    nullable: true,
  },
}

const PREFER = {
  name: 'Prefer',
  in: 'header',
  description: '`respond-async` answers at once, `wait=N` within N seconds.',
  schema: { type: 'string' },
}

const ERROR: JsonSchema = {
  title: 'ErrorResponse',
  type: 'object',
  properties: { detail: { title: 'Detail' } },
  required: ['detail'],
}

const EVENTS = { description: 'Events until the end', content: { 'text/event-stream': { schema: {} } } }
const EMPTY_NOT_FOUND = json('There is none of this id', { type: 'object' })

const CREATE_ANSWERS = {
  '202': json('Accepted; it runs on', { type: 'object' }),
  '400': failure('The body is not JSON'),
  '406': failure('This model does not stream'),
  '409': failure('One of this id is running'),
  '413': failure('The body is too large'),
  '415': failure('The body is not sent as application/json'),
  '429': failure('The queue is full; `Retry-After` says when to come back'),
  '503': failure('The model is not ready'),
}

const SERVICE_PATHS = {
  '/openapi.json': {
    get: {
      summary: 'This document',
      operationId: 'openapi',
      responses: { '200': json('The document', { type: 'object' }) },
    },
  },
  '/livez': {
    get: {
      summary: 'Whether the server answers',
      operationId: 'livez',
      responses: { '200': json('It does', { type: 'object' }) },
    },
  },
  '/readyz': {
    get: {
      summary: 'Whether the model takes predictions',
      operationId: 'readyz',
      responses: { '200': json('It does', { type: 'object' }), '503': json('Not now', { type: 'object' }) },
    },
  },
  '/shutdown': {
    post: {
      summary: 'Finish what runs, then stop',
      operationId: 'shutdown',
      responses: { '200': json('It stops', { type: 'object' }) },
    },
  },
}

function body(schema: string): JsonSchema {
  const content = { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } }
  return { required: true, content }
}

/** Requests under an id of one's own: the same without the id. */
function putRequests(schemas: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const made: Record<string, unknown> = {}
  for (const [name, schema] of schemas) {
    if (name !== 'PredictionRequest' && name !== 'TrainingRequest') continue
    const title = name.replace('Request', 'PutRequest')
    const { id: _, ...properties } = (schema as { properties: Record<string, unknown> }).properties
    made[title] = { ...(schema as object), title, properties }
  }
  return made
}

function listOf(item: JsonSchema): JsonSchema {
  return {
    type: 'object',
    properties: {
      results: { type: 'array', items: item },
      next: { type: 'string', nullable: true },
      previous: { type: 'string', nullable: true },
    },
    required: ['results'],
  }
}

function failure(description: string): JsonSchema {
  return json(description, { $ref: '#/components/schemas/ErrorResponse' })
}

function json(description: string, schema: JsonSchema): JsonSchema {
  return { description, content: { 'application/json': { schema } } }
}
