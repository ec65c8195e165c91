import { BuildError } from '../../core/errors.ts'
import type { RunContext } from '../run-container.ts'
import { asObject, isConcatenated, parseInputSchema } from './input-schema.ts'
import { parseInputs } from './inputs.ts'
import { askLocal } from './local-http.ts'
import { membersOf, requireMember } from './members.ts'
import { startModelServer, type ServerRequest } from './model-server.ts'

/** One prediction. */
export interface PredictRequest extends Omit<ServerRequest, 'port' | 'listenOn'> {
  /** Words as on the command line: `name=value`, `name=@file`. */
  readonly inputs: readonly string[]
  /** Where relative files of the inputs lie. */
  readonly folder: string
  /** `prediction` unless given. */
  readonly kind?: 'prediction' | 'training' | undefined
  /** One of several models or pipelines; the default unless given. */
  readonly model?: string | undefined
}

/** What came out. */
export interface Prediction {
  /** As the model gave it; files are data URIs. */
  readonly output: unknown
  /** The pieces of the output as one text, where the model says that they are one. */
  readonly text?: string | undefined
  readonly logs: string
  readonly metrics: Readonly<Record<string, unknown>>
}

const ROUTES = { prediction: '/predictions', training: '/trainings' } as const
const INPUTS = { prediction: 'Input', training: 'TrainingInput' } as const
const OUTPUTS = { prediction: 'Output', training: 'TrainingOutput' } as const
const SCHEMA_LABELS = ['run.cog.openapi_schema', 'org.cogmodel.openapi_schema']

/**
 * Starts a model's container, asks it for one prediction and stops it.
 *
 * Inputs are checked against the schema in the image's label before anything starts, or, without one and for one of several
 * models, against the schema that the server gives.
 *
 * @throws BuildError INPUT_INVALID, RUN_FAILED (with the model's own words), and those of `startModelServer`
 */
export async function predict(request: PredictRequest, context: RunContext): Promise<Prediction> {
  const kind = request.kind ?? 'prediction'
  const members = membersOf(request.image.config.config)
  if (request.model !== undefined) requireMember(request.model, members)
  // The label describes the default alone.
  const model = request.model === members?.default ? undefined : request.model
  const labelled = model === undefined ? documentOfLabel(request) : undefined
  const schema = parseInputSchema(labelled, INPUTS[kind])
  if (kind === 'training' && labelled !== undefined && schema === undefined) {
    throw new BuildError('INPUT_INVALID', 'The image has no training function', {
      hint: 'Name one with `train` in cog.yaml, such as `train.py:train`, and build again.',
    })
  }
  const checked = schema === undefined ? undefined : parseInputs(request.inputs, schema, request.folder)
  // Told so, the launcher sets up the training function alone.
  const command = kind === 'training' ? ['--x-mode', 'train'] : request.command
  const env = { ...bodyLimit(checked), LAYERWRIGHT_OUTPUT_NAMES: '1', ...request.env }
  const server = await startModelServer({ ...request, command, env }, context)
  try {
    const document = schema === undefined ? await documentOfServer(server.port, model) : labelled
    const input = checked ?? parseInputs(request.inputs, parseInputSchema(document, INPUTS[kind]), request.folder)
    const answer = await askLocal(server.port, 'POST', `${prefixOf(model)}${ROUTES[kind]}`, {
      body: { input },
      signal: request.signal,
    })
    if (answer === undefined) throw new BuildError('RUN_FAILED', 'The model server ended before it answered')
    const prediction = readAnswer(answer.status, answer.body)
    return isConcatenated(document, OUTPUTS[kind]) ? { ...prediction, text: joinPieces(prediction.output) } : prediction
  } finally {
    await server.stop()
  }
}

/** Lets a request through that is larger than servers on the internet should take. */
function bodyLimit(inputs: Readonly<Record<string, unknown>> | undefined): Record<string, string> {
  const size = inputs === undefined ? 2 ** 30 : JSON.stringify(inputs).length + 1024
  return { LAYERWRIGHT_BODY_MAX_BYTES: String(Math.max(size, 100 * 1024 * 1024)) }
}

function documentOfLabel(request: PredictRequest): unknown {
  const labels = request.image.config.config?.Labels ?? {}
  const text = SCHEMA_LABELS.map((name) => labels[name]).find((label) => label !== undefined)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    // A label of somebody else's making; the server is asked instead.
    return undefined
  }
}

/** Where the addresses of a model begin; the default's begin at the root. */
function prefixOf(model: string | undefined): string {
  return model === undefined ? '' : `/models/${encodeURIComponent(model)}`
}

async function documentOfServer(port: number, model: string | undefined): Promise<unknown> {
  const answer = await askLocal(port, 'GET', `${prefixOf(model)}/openapi.json`)
  return answer?.status === 200 ? answer.body : undefined
}

function joinPieces(output: unknown): string | undefined {
  return Array.isArray(output) && output.every((piece) => typeof piece === 'string') ? output.join('') : undefined
}

function readAnswer(status: number, body: unknown): Prediction {
  const answer = asObject(body) ?? {}
  if (status === 422) {
    throw new BuildError('INPUT_INVALID', `The inputs do not fit the model: ${describeDetail(answer['detail'])}`)
  }
  const logs = typeof answer['logs'] === 'string' ? answer['logs'] : ''
  if (answer['status'] === 'succeeded') {
    return { output: answer['output'], logs, metrics: (answer['metrics'] ?? {}) as Readonly<Record<string, unknown>> }
  }
  const reason = answer['error'] ?? answer['detail'] ?? (typeof body === 'string' ? body : `status ${status}`)
  throw new BuildError(
    'RUN_FAILED',
    `The prediction failed: ${typeof reason === 'string' ? reason : JSON.stringify(reason)}`,
    {
      data: { status: answer['status'] ?? status, logs },
    },
  )
}

/** The detail of a 422 answer: a list of problems, each with its place. */
function describeDetail(detail: unknown): string {
  if (!Array.isArray(detail)) return JSON.stringify(detail)
  return detail
    .map((problem: { loc?: unknown; msg?: unknown }) => {
      const place = Array.isArray(problem.loc) ? problem.loc.slice(2).join('.') : ''
      return place === '' ? String(problem.msg) : `\`${place}\` ${String(problem.msg)}`
    })
    .join('; ')
}
