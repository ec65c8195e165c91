import type { Command as Program } from 'commander'
import { BuildError } from '../../core/errors.ts'
import { append } from '../append.ts'
import { defineRunOptions, openRunnable, type RunOptions } from '../run-options.ts'
import type { Command, Io } from '../command.ts'

interface PredictOptions extends RunOptions {
  readonly input: readonly string[]
  readonly output?: string
  readonly model?: string
  readonly json?: boolean | string
  readonly setupTimeout: string
  readonly quiet?: boolean
  readonly progress?: string
}

/** `layerwright predict`: one prediction, from the start of the container to its end. */
export const command: Command = {
  define(program) {
    definePredict(program, 'where the output goes: a file, or a folder')
    program.option('--model <name>', 'one of several models or pipelines in the image; the default unless given')
  },
  run: ([image], options, io) => runPrediction('prediction', image, options as unknown as PredictOptions, io),
}

/** What `predict` and `train` have in common. */
export function definePredict(program: Program, output: string): void {
  program
    .argument('[image]', 'image by location or local name; without it the project in this folder is built and taken')
    .option('-i, --input <name=value>', 'an input; `name=@file` for a file, or the text in one; repeatable', append, [])
    .option('-o, --output <path>', output)
    .option('--setup-timeout <seconds>', 'how long the setup of the model may take', '300')
    .option(
      '--json [inputs]',
      'print output, metrics and written files as JSON; with a JSON object, `@file` or `@-`: take the inputs from there',
    )
  defineRunOptions(program)
}

/** Runs the model once and prints what came out. */
export async function runPrediction(
  kind: 'prediction' | 'training',
  name: string | undefined,
  options: PredictOptions,
  io: Io,
): Promise<void> {
  const seconds = Number(options.setupTimeout)
  if (!(seconds > 0)) throw new BuildError('USAGE', `Not a number of seconds: \`${options.setupTimeout}\``)
  const json = readJsonOption(options.json, name)
  const { context, ...runnable } = await openRunnable(json.image, options, io)
  const [{ predict }, { writeOutput }] = await Promise.all([
    import('../../run/predict/predict.ts'),
    import('../../run/predict/outputs.ts'),
  ])
  const prediction = await predict(
    {
      ...runnable,
      env: { ...launcherLevel(options), ...runnable.env },
      kind,
      model: options.model,
      inputs: [...(await readJsonInputs(json.inputs, io.cwd)), ...options.input],
      folder: io.cwd,
      setupTimeoutMs: seconds * 1000,
      log: (chunk) => io.stderr.write(Buffer.from(chunk).toString()),
      signal: io.signal,
    },
    context,
  )
  const target = options.output ?? (kind === 'training' ? 'weights' : undefined)
  const shown = json.isPrinted ? prediction.output : (prediction.text ?? prediction.output)
  const { value, files } = await writeOutput(shown, io.cwd, target)
  if (json.isPrinted) {
    io.stdout.write(`${JSON.stringify({ output: value, metrics: prediction.metrics, files })}\n`)
  } else {
    io.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value, undefined, 2)}\n`)
  }
}

/** Quiet is also the server's coming and going; what the model prints is not. */
function launcherLevel({ quiet, progress }: PredictOptions): Readonly<Record<string, string>> {
  const isQuiet = quiet === true || progress === 'none' || progress === 'quiet'
  return isQuiet ? { LAYERWRIGHT_LOG_LEVEL: 'warning' } : {}
}

/**
 * `--json` alone asks for JSON; Cog's `--json @inputs.json` brings inputs. A word that is neither an object nor `@...` is the
 * image, which happens to stand behind the flag.
 */
function readJsonOption(
  json: boolean | string | undefined,
  image: string | undefined,
): { readonly isPrinted: boolean; readonly inputs?: string; readonly image: string | undefined } {
  if (typeof json !== 'string') return { isPrinted: json === true, image }
  if (/^\s*[{@]/.test(json)) return { isPrinted: false, inputs: json, image }
  if (image !== undefined) throw new BuildError('USAGE', `Neither a JSON object nor \`@file\`: \`${json}\``)
  return { isPrinted: true, image: json }
}

/** The members of a JSON object as `name=value` words. @throws BuildError USAGE, FILE_UNREADABLE */
async function readJsonInputs(text: string | undefined, cwd: string): Promise<readonly string[]> {
  if (text === undefined) return []
  const { readJsonWords } = await import('../../run/predict/json-inputs.ts')
  return readJsonWords(text, cwd)
}
