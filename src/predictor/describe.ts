import { readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { Diagnostic } from '../core/diagnostic.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { withAdditions } from './additions.ts'
import type { InputDescription } from './input.ts'
import { decide } from './evaluate.ts'
import { Modules, type Module, type ReadFile } from './modules.ts'
import { makeOpenApi, type OpenApiDocument } from './openapi.ts'
import { loadPythonParser } from './parse.ts'
import { PredictorError, Problems } from './problems.ts'
import { readSignature, type Signature } from './signature.ts'
import type { ValueType } from './value-type.ts'

/** How the values of an answer come. */
export type OutputKind = 'single' | 'iterator' | 'concatenate'

/** A whole model: what it predicts and, if it does, how it is trained. */
export interface ModelDescription {
  /** One document for both. */
  readonly openapi: OpenApiDocument
  readonly predict?: OperationDescription
  readonly train?: OperationDescription
  readonly warnings: readonly Diagnostic[]
}

/** What one of the two operations of a model takes and gives, without having run it. */
export interface OperationDescription {
  /** In the order of the signature. */
  readonly inputs: readonly InputDescription[]
  readonly output: ValueType
  readonly outputKind: OutputKind
  /** Whether `@streaming` stands on it. */
  readonly streaming: boolean
  /** Predictions at once, from `@concurrent`; 1 without it. */
  readonly concurrency: number
  readonly isAsync: boolean
}

/** Where the parts of a model are. */
export interface ModelOptions {
  readonly projectFolder: string
  /** `file.py:Name`, relative to the project folder, as `train`. */
  readonly run?: string | undefined
  readonly train?: string | undefined
  /** Gives the project's files by their relative path; reads the folder unless given. */
  readonly readFile?: ReadFile | undefined
  /** What `concurrency.max` of cog.yaml says; more than 1 needs an async function. */
  readonly maxConcurrency?: number | undefined
}

/**
 * Describes a model with its training by parsing their sources; nothing is imported.
 *
 * @throws PredictorError PREDICTOR_INVALID with every problem of both and its place
 * @throws BuildError PROJECT_INVALID when a reference is malformed
 */
export async function describeModel({
  projectFolder,
  run,
  train,
  readFile,
  maxConcurrency,
}: ModelOptions): Promise<ModelDescription> {
  const parser = await loadPythonParser()
  const read = readFile ?? folderReader(projectFolder)
  const problems = new Problems()
  const signature = (
    reference: string | undefined,
    methods: readonly string[],
    concurrency?: number,
  ): Signature | undefined => {
    if (reference === undefined) return undefined
    const { file, name } = parseReference(reference)
    const modules = new Modules(read, parser, [...new Set(['.', posix.dirname(file)])], decide)
    const module = loadSource(modules, file, problems)
    return module === undefined ? undefined : readSignature(module, { name, methods, concurrency }, modules, problems)
  }
  const signatures = { predict: signature(run, ['run', 'predict'], maxConcurrency), train: signature(train, ['train']) }
  if (problems.hasErrors) throw new PredictorError(problems.list())
  return {
    openapi: withAdditions(makeOpenApi(signatures)),
    ...(signatures.predict === undefined ? {} : { predict: describeOperation(signatures.predict) }),
    ...(signatures.train === undefined ? {} : { train: describeOperation(signatures.train) }),
    warnings: problems.list(),
  }
}

function describeOperation({ inputs, output, streaming, concurrency, isAsync }: Signature): OperationDescription {
  const outputKind = output.kind !== 'iterator' ? 'single' : output.concatenate ? 'concatenate' : 'iterator'
  return { inputs, output, outputKind, streaming, concurrency, isAsync }
}

/** Cuts `file.py:Name`. */
function parseReference(reference: string): { file: string; name: string } {
  const [, file, name] = /^(.+\.py):([A-Za-z_]\w*)$/.exec(reference) ?? []
  if (file === undefined || name === undefined) {
    throw new BuildError('PROJECT_INVALID', `This is not written \`file.py:Name\`: \`${reference}\``)
  }
  return { file: posix.normalize(file), name }
}

function loadSource(modules: Modules, file: string, problems: Problems): Module | undefined {
  const module = modules.load(file)
  if (module === undefined) {
    problems.error(
      'file-missing',
      `There is no file \`${file}\` in the project`,
      { file, lines: [] },
      { line: 1, column: 1, endColumn: 1 },
    )
    return undefined
  }
  for (const { message = 'This is not valid Python', ...place } of module.errors) {
    problems.error('syntax-error', message, module, place)
  }
  return module.errors.length > 0 ? undefined : module
}

const MAX_SOURCE_BYTES = 4 * 1024 * 1024

/** Reads the Python files of a folder. */
export function folderReader(projectFolder: string): ReadFile {
  return (path) => {
    const file = join(projectFolder, path)
    try {
      const { size } = statSync(file)
      if (size > MAX_SOURCE_BYTES)
        throw new BuildError('PROJECT_INVALID', `The file has more than ${MAX_SOURCE_BYTES} bytes: ${path}`, {
          hint: 'Keep the predictor, and what its signature needs, in a smaller file.',
        })
      return readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
    } catch (error) {
      if (error instanceof BuildError) throw error
      const code = systemErrorCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
      throw new BuildError('FILE_UNREADABLE', `Cannot read ${file}: ${code ?? String(error)}`, { cause: error })
    }
  }
}
