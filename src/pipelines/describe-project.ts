import { defaultMember } from '../config/check-pipelines.ts'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/issue.ts'
import type { LaterProblem } from '../config/issues.ts'
import type { Diagnostic } from '../core/diagnostic.ts'
import { withAdditions } from '../predictor/additions.ts'
import type { ModelDescription, ModelOptions, OperationDescription } from '../predictor/describe.ts'
import { makeOpenApi, type OpenApiDocument } from '../predictor/openapi.ts'
import { PredictorError } from '../predictor/problems.ts'
import { compilePipeline, type CompiledPipeline } from './compile.ts'
import { combinedDocument, memberDocument } from './documents.ts'

/** What a project takes and gives, be it one model or several. */
export interface ProjectDescription {
  /** What the server serves at `/openapi.json`. */
  readonly openapi: OpenApiDocument
  /** The predictions of the only model, or of the default of several. */
  readonly predict?: OperationDescription | undefined
  /** Absent for one model. */
  readonly members?: MembersDocument
  /** The document of the default alone, as a label of the image holds it; absent for one model, whose document is all there is. */
  readonly defaultOpenapi?: OpenApiDocument
  readonly warnings: readonly Diagnostic[]
}

/** `models.json`: what the launcher is told of several models. */
export interface MembersDocument {
  readonly version: 1
  /** The model or pipeline at `/predictions`. */
  readonly default: string
  readonly models: Readonly<Record<string, MemberModel>>
  readonly pipelines: Readonly<Record<string, MemberPipeline>>
}

/** One of the models. */
export interface MemberModel {
  /** `file.py:Name`. */
  readonly run: string
  /** What the cog.yaml says; else the decorator of the model decides. */
  readonly concurrency?: number
  readonly openapi: OpenApiDocument
}

/** One of the pipelines. */
export interface MemberPipeline extends Omit<CompiledPipeline, 'operation'> {
  readonly openapi: OpenApiDocument
}

/** How a project is looked at. */
export interface Looking {
  /** Describes one model, or the training. */
  readonly describe: (what: Pick<ModelOptions, 'run' | 'train' | 'maxConcurrency'>) => Promise<ModelDescription>
  /** Gives problems of the cog.yaml their lines. */
  readonly locate: (problems: readonly LaterProblem[]) => Promise<readonly Diagnostic[]>
}

/**
 * Describes the models and pipelines of a project.
 *
 * @throws PredictorError, ConfigError with every problem of all of them
 */
export async function describeProject(config: Config, looking: Looking): Promise<ProjectDescription> {
  const { run, train, concurrency, models } = config
  if (models !== undefined) return describeMembers({ ...config, models }, looking)
  const { openapi, predict, warnings } = await looking.describe({ run, train, maxConcurrency: concurrency?.max })
  return { openapi, predict, warnings }
}

async function describeMembers(
  { models, pipelines = {}, train }: Config & Pick<Required<Config>, 'models'>,
  { describe, locate }: Looking,
): Promise<ProjectDescription> {
  const wrong: Diagnostic[] = []
  const warnings: Diagnostic[] = []
  const look = async (what: Parameters<Looking['describe']>[0]): Promise<ModelDescription | undefined> => {
    try {
      const found = await describe(what)
      warnings.push(...found.warnings)
      return found
    } catch (error) {
      if (!(error instanceof PredictorError)) throw error
      wrong.push(...error.issues)
      return undefined
    }
  }
  const signatures = new Map<string, OperationDescription | undefined>()
  // One after the other: the first loads the parser, and all of them read the same files.
  for (const [name, { run, concurrency }] of Object.entries(models))
    signatures.set(name, (await look({ run, maxConcurrency: concurrency?.max }))?.predict)
  const training = train === undefined ? undefined : (await look({ train }))?.train
  const problems: LaterProblem[] = []
  const compiled = Object.entries(pipelines).map(
    ([name, pipeline]) =>
      [name, compilePipeline(pipeline, ['pipelines', name], signatures, (problem) => problems.push(problem))] as const,
  )
  const located = problems.length === 0 ? [] : await locate(problems)
  if (wrong.length > 0) throw new PredictorError(distinct([...wrong, ...located]))
  if (located.length > 0) throw new ConfigError(located)
  return { ...makeDocuments(models, signatures, compiled, training), warnings: distinct(warnings) }
}

function makeDocuments(
  models: NonNullable<Config['models']>,
  signatures: ReadonlyMap<string, OperationDescription | undefined>,
  pipelines: readonly (readonly [string, CompiledPipeline])[],
  train: OperationDescription | undefined,
): Omit<ProjectDescription, 'warnings'> {
  const operations = new Map<string, OperationDescription>()
  for (const [name, signature] of signatures) if (signature !== undefined) operations.set(name, signature)
  for (const [name, { operation }] of pipelines) operations.set(name, operation)
  const documents = new Map([...operations].map(([name, operation]) => [name, memberDocument(name, operation)]))
  const documentOf = (name: string): OpenApiDocument => {
    const found = documents.get(name)
    if (found === undefined) throw new TypeError(`Nothing describes ${name}`)
    return found
  }
  const byDefault = defaultMember(models, Object.fromEntries(pipelines)) ?? ''
  const predict = operations.get(byDefault)
  if (predict === undefined) throw new TypeError('A configuration without a default has been let through')
  const members: MembersDocument = {
    version: 1,
    default: byDefault,
    models: Object.fromEntries(
      Object.entries(models).map(([name, { run, concurrency }]) => [
        name,
        {
          run,
          ...(concurrency === undefined ? {} : { concurrency: concurrency.max }),
          openapi: documentOf(name),
        },
      ]),
    ),
    pipelines: Object.fromEntries(
      pipelines.map(([name, { steps, output }]) => [name, { steps, output, openapi: documentOf(name) }]),
    ),
  }
  const defaultOpenapi = withAdditions(makeOpenApi({ predict, train }))
  return { openapi: combinedDocument(defaultOpenapi, documents), defaultOpenapi, predict, members }
}

/** Models may share files, whose problems are told of once. */
function distinct(issues: readonly Diagnostic[]): readonly Diagnostic[] {
  return [
    ...new Map(issues.map((issue) => [`${issue.file}:${issue.line}:${issue.column}:${issue.message}`, issue])).values(),
  ]
}
