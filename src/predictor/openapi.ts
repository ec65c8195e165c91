import type { InputDescription } from './input.ts'
import { literalType, schemaOf, titleOf, type JsonSchema } from './json-schema.ts'
import type { Signature } from './signature.ts'

/** An OpenAPI 3.0 document as plain JSON. */
export interface OpenApiDocument {
  readonly openapi: '3.0.2'
  readonly info: { readonly title: string; readonly version: string }
  /** Where the paths begin, where that is not the root. */
  readonly servers?: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, unknown>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> }
}

/** What a document is made of: at least one of the two. */
export interface Signatures {
  readonly predict?: Signature | undefined
  readonly train?: Signature | undefined
}

/**
 * Makes the OpenAPI document of a model, the one that the server in the image serves.
 *
 * The names of paths, components and extensions are Cog's, on which clients rely.
 */
export function makeOpenApi({ predict, train }: Signatures): OpenApiDocument {
  const predictNames = choicesNames(predict, RESERVED, '')
  const trainNames = choicesNames(train, new Set([...RESERVED, ...predictNames.values()]), 'Training')
  return {
    openapi: '3.0.2',
    info: { title: 'Cog', version: 'dev' },
    paths: {
      '/': plainGet('Root', 'root__get'),
      '/health-check': plainGet('Healthcheck', 'healthcheck_health_check_get'),
      ...(predict === undefined ? {} : operationPaths(PREDICT, predict)),
      ...(train === undefined ? {} : operationPaths(TRAIN, train)),
    },
    components: {
      schemas: {
        ...(predict === undefined ? {} : operationSchemas(PREDICT, predict, predictNames)),
        ...(train === undefined ? {} : operationSchemas(TRAIN, train, trainNames)),
        ...COMMON_SCHEMAS,
      },
    },
  }
}

interface Operation {
  readonly path: string
  readonly parameter: string
  readonly summary: string
  readonly description: string
  readonly operationId: string
  readonly cancelId: string
  readonly input: string
  readonly output: string
  readonly request: string
  readonly response: string
}

const PREDICT: Operation = {
  path: '/predictions',
  parameter: 'prediction_id',
  summary: 'Predict',
  description: 'Run a single prediction on the model',
  operationId: 'predict_predictions_post',
  cancelId: 'cancel_predictions__prediction_id__cancel_post',
  input: 'Input',
  output: 'Output',
  request: 'PredictionRequest',
  response: 'PredictionResponse',
}

const TRAIN: Operation = {
  path: '/trainings',
  parameter: 'training_id',
  summary: 'Train',
  description: 'Run a single training on the model',
  operationId: 'train_trainings_post',
  cancelId: 'cancel_trainings__training_id__cancel_post',
  input: 'TrainingInput',
  output: 'TrainingOutput',
  request: 'TrainingRequest',
  response: 'TrainingResponse',
}

/** Components that a parameter with choices must not take the name of. */
const RESERVED = new Set([
  'Status',
  'HTTPValidationError',
  'ValidationError',
  ...[PREDICT, TRAIN].flatMap(({ input, output, request, response }) => [input, output, request, response]),
])

function operationSchemas(operation: Operation, signature: Signature, names: ChoicesNames): Record<string, JsonSchema> {
  const { input, output, request, response } = operation
  const required = signature.inputs.filter((field) => field.required).map((field) => field.name)
  return {
    [input]: {
      title: input,
      type: 'object',
      properties: Object.fromEntries(
        signature.inputs.map((field, order) => [field.name, inputSchema(field, order, names)]),
      ),
      ...(required.length === 0 ? {} : { required }),
    },
    [output]: { title: 'Output', ...schemaOf(signature.output) },
    ...Object.fromEntries(signature.inputs.flatMap((field) => choicesSchema(field, names))),
    [request]: {
      title: request,
      type: 'object',
      properties: { id: { title: 'Id', type: 'string' }, input: reference(input) },
    },
    [response]: {
      title: response,
      type: 'object',
      properties: { input: reference(input), output: reference(output), ...RESPONSE_FIELDS },
    },
  }
}

/** Component names of the inputs with choices, by input name. */
type ChoicesNames = ReadonlyMap<string, string>

/** A component is named as its input, unless that name is taken. */
function choicesNames(signature: Signature | undefined, taken: ReadonlySet<string>, prefix: string): ChoicesNames {
  const fields = (signature?.inputs ?? []).filter((field) => field.choices !== undefined)
  return new Map(fields.map(({ name }) => [name, taken.has(name) ? `${prefix}${name}Choices` : name]))
}

function choicesSchema(field: InputDescription, names: ChoicesNames): readonly (readonly [string, JsonSchema])[] {
  const name = names.get(field.name)
  if (field.choices === undefined || name === undefined) return []
  return [
    [name, { title: field.name, description: 'An enumeration.', enum: field.choices, ...literalType(field.choices) }],
  ]
}

function inputSchema(field: InputDescription, order: number, names: ChoicesNames): JsonSchema {
  const limits = {
    minimum: field.minimum,
    maximum: field.maximum,
    minLength: field.minLength,
    maxLength: field.maxLength,
    pattern: field.pattern,
  }
  const given = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
  return {
    ...valueSchema(field, given, names.get(field.name)),
    'x-order': order,
    ...(field.default === undefined ? {} : { default: field.default.value }),
    ...(field.type.kind === 'nullable' ? { nullable: true } : {}),
    ...(field.description === undefined ? {} : { description: field.description }),
    ...(field.deprecated === true ? { deprecated: true } : {}),
    ...(field.accept === undefined ? {} : { 'x-cog-accept': field.accept }),
  }
}

/** Choices and limits of a list are those of its items. */
function valueSchema(field: InputDescription, limits: JsonSchema, component: string | undefined): JsonSchema {
  const type = field.type.kind === 'nullable' ? field.type.of : field.type
  const title = titleOf(field.name)
  const choices = component === undefined ? undefined : reference(component)
  if (type.kind !== 'list')
    return choices === undefined ? { title, ...schemaOf(type), ...limits } : { allOf: [choices] }
  return { title, type: 'array', items: choices ?? { ...schemaOf(type.item), ...limits } }
}

function operationPaths(operation: Operation, signature: Signature): Record<string, unknown> {
  const { path, parameter, summary, description, operationId, cancelId, request, response } = operation
  return {
    [path]: {
      post: {
        summary,
        description,
        operationId,
        requestBody: { content: json(reference(request)) },
        responses: { '200': success(reference(response)), '422': INVALID },
        ...(signature.streaming ? { 'x-cog-streaming': true } : {}),
      },
    },
    [`${path}/{${parameter}}/cancel`]: {
      post: {
        summary: 'Cancel',
        operationId: cancelId,
        parameters: [
          { name: parameter, in: 'path', required: true, schema: { title: titleOf(parameter), type: 'string' } },
        ],
        responses: { '200': success({}), '422': INVALID },
      },
    },
  }
}

function plainGet(summary: string, operationId: string): JsonSchema {
  return { get: { summary, operationId, responses: { '200': success({}) } } }
}

function success(schema: JsonSchema): JsonSchema {
  return { description: 'Successful Response', content: json(schema) }
}

function json(schema: JsonSchema): JsonSchema {
  return { 'application/json': { schema } }
}

function reference(component: string): JsonSchema {
  return { $ref: `#/components/schemas/${component}` }
}

const INVALID = { description: 'Validation Error', content: json(reference('HTTPValidationError')) }

const RESPONSE_FIELDS = {
  id: { title: 'Id', type: 'string' },
  version: { title: 'Version', type: 'string' },
  created_at: { title: 'Created At', type: 'string', format: 'date-time' },
  started_at: { title: 'Started At', type: 'string', format: 'date-time' },
  completed_at: { title: 'Completed At', type: 'string', format: 'date-time' },
  status: { title: 'Status', type: 'string' },
  error: { title: 'Error', type: 'string' },
  logs: { title: 'Logs', type: 'string' },
  metrics: { title: 'Metrics', type: 'object' },
}

const COMMON_SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  Status: {
    title: 'Status',
    description: 'An enumeration.',
    enum: ['starting', 'processing', 'succeeded', 'canceled', 'failed'],
    type: 'string',
  },
  HTTPValidationError: {
    title: 'HTTPValidationError',
    type: 'object',
    properties: { detail: { title: 'Detail', type: 'array', items: reference('ValidationError') } },
  },
  ValidationError: {
    title: 'ValidationError',
    required: ['loc', 'msg', 'type'],
    type: 'object',
    properties: {
      loc: { title: 'Location', type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'integer' }] } },
      msg: { title: 'Message', type: 'string' },
      type: { title: 'Error Type', type: 'string' },
    },
  },
}
