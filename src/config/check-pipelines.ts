import { nearest } from '../core/suggest.ts'
import type { ReportIssue } from './issues.ts'
import { readSteps, type WrittenStep } from './pipeline-steps.ts'
import { formatReference, isReference, parseReference, type Reference } from './pipeline-value.ts'
import type { CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'

/** Rules of `models` and `pipelines` that need no signature of a model. */
export function checkPipelines(yaml: CogYaml, report: ReportIssue): void {
  checkModels(yaml, report)
  if (yaml.pipelines === undefined) return
  if (yaml.models === undefined) {
    report('error', 'missing-key', ['pipelines'], '`pipelines` needs `models`', {
      hint: 'Name the models: `models: {detect: {run: "detect.py:Detector"}}`.',
      atKey: true,
    })
    return
  }
  const models = Object.keys(yaml.models)
  for (const [name, written] of Object.entries(yaml.pipelines)) {
    const path = ['pipelines', name]
    if (models.includes(name)) {
      const hint = 'They share one name space, since both are served under their name.'
      report('error', 'exclusive-keys', path, `A model has this name too: \`${name}\``, { hint, atKey: true })
    }
    new PipelineCheck(models, Object.keys(yaml.pipelines), report).check(readSteps(written, path))
  }
}

function checkModels({ models, pipelines, ...yaml }: CogYaml, report: ReportIssue): void {
  if (models === undefined) return
  for (const key of ['run', 'predict', 'concurrency', 'batch'] as const) {
    if (yaml[key] === undefined) continue
    const hint =
      key === 'batch'
        ? 'Requests are gathered for an image of one model only; remove it.'
        : `Put it into the model that it is for, such as \`models.${Object.keys(models)[0] ?? 'NAME'}.${key}\`.`
    report('error', 'exclusive-keys', [key], `\`${key}\` has no place beside \`models\``, { hint, atKey: true })
  }
  if (yaml.runtime === 'coglet') {
    const hint = "Cog's server knows one model; remove `runtime`."
    report('error', 'exclusive-keys', ['runtime'], '`runtime: coglet` has no place beside `models`', { hint })
  }
  for (const [name, model] of Object.entries(models)) {
    if (model.run === undefined && model.predict === undefined) {
      const hint = 'Name the file and the class in it: `{run: "detect.py:Detector"}`.'
      report('error', 'missing-key', ['models', name], `\`models.${name}\` has no \`run\``, { hint, atKey: true })
    }
    if (model.run !== undefined && model.predict !== undefined) {
      const hint = '`predict` is the former name of `run`; keep `run`.'
      const text = `Only one of \`models.${name}.run\` and \`models.${name}.predict\` may be given`
      report('error', 'exclusive-keys', ['models', name, 'predict'], text, { hint, atKey: true })
    }
  }
  if (Object.keys(models).length === 0) {
    report('error', 'missing-key', ['models'], '`models` names no model', { atKey: true })
  } else if (defaultMember(models, pipelines) === undefined) {
    const text = 'Nothing says what the image serves at `/predictions`'
    const hint = 'Name one pipeline `main`: `pipelines: {main: [...]}`; it may have one step.'
    report('error', 'no-default', [pipelines === undefined ? 'models' : 'pipelines'], text, { hint, atKey: true })
  }
}

/** What is served at `/predictions`: the pipeline `main`, else the only pipeline, else the only model. */
export function defaultMember(models: object, pipelines: object = {}): string | undefined {
  const [first, ...more] = Object.keys(pipelines)
  if (Object.hasOwn(pipelines, 'main')) return 'main'
  if (first !== undefined) return more.length === 0 ? first : undefined
  const [only, ...others] = Object.keys(models)
  return others.length === 0 ? only : undefined
}

const RESERVED = new Set(['input', 'item'])

class PipelineCheck {
  readonly #models: readonly string[]
  readonly #pipelines: readonly string[]
  readonly #report: ReportIssue
  /** Steps whose outputs are there, by name. */
  readonly #before = new Set<string>()
  readonly #names = new Set<string>()

  constructor(models: readonly string[], pipelines: readonly string[], report: ReportIssue) {
    this.#models = models
    this.#pipelines = pipelines
    this.#report = report
  }

  check({ steps, output, outputPath }: ReturnType<typeof readSteps>): void {
    for (const step of steps) {
      if (step.parallel === undefined) this.#step(step)
      else this.#parallel(step, step.parallel)
      // Neighbours do not see each other: their names count once all of them have run.
      for (const { name } of step.parallel ?? [step]) if (name !== undefined) this.#before.add(name)
    }
    if (output !== undefined) this.#value(output, outputPath, 'output')
  }

  #parallel({ written, path }: WrittenStep, members: readonly WrittenStep[]): void {
    for (const key of Object.keys(written)) {
      if (key === 'parallel') continue
      const hint = 'The keys of a step go into the members of `parallel`.'
      this.#report('error', 'exclusive-keys', [...path, key], `\`${key}\` has no place beside \`parallel\``, {
        hint,
        atKey: true,
      })
    }
    for (const member of members) this.#step(member)
  }

  #step(step: WrittenStep): void {
    const { model, name, path, written } = step
    if (model === undefined || name === undefined) {
      const hint = 'Write `{model: NAME}`, or `{parallel: [...]}` for several at the same time.'
      this.#report('error', 'missing-key', path, 'This step names no `model`', { hint })
      return
    }
    if (!this.#models.includes(model)) this.#unknownModel(model, step.modelPath)
    const namePath = written.name === undefined ? step.modelPath : [...path, 'name']
    if (RESERVED.has(name)) {
      const hint = 'Give it another `name`: `$.input` and `$.item` mean something else.'
      this.#report('error', 'duplicate-step', namePath, `A step cannot be named \`${name}\``, { hint })
    } else if (this.#names.has(name)) {
      const hint = 'Give each a `name` of its own.'
      this.#report('error', 'duplicate-step', namePath, `Two steps are named \`${name}\``, { hint })
    }
    this.#names.add(name)
    if (written.each !== undefined) this.#value(written.each, [...path, 'each'], 'step')
    if (written.when !== undefined) this.#value(written.when, [...path, 'when'], 'step')
    const kind = written.each === undefined ? 'step' : 'each'
    for (const [key, value] of Object.entries(written.input ?? {})) this.#value(value, [...path, 'input', key], kind)
  }

  #unknownModel(model: string, path: readonly PathPart[]): void {
    const isPipeline = this.#pipelines.includes(model)
    const hint = isPipeline
      ? 'A step runs a model; repeat the steps of the pipeline here.'
      : `There are: ${this.#models.slice(0, 20).join(', ')}.`
    const text = isPipeline ? `This is a pipeline, not a model: \`${model}\`` : `There is no model \`${model}\``
    this.#report('error', 'unknown-model', path, text, { hint, suggestion: nearest(model, this.#models) })
  }

  /** Every text that begins with `$.` within a value. */
  #value(plain: unknown, path: readonly PathPart[], place: 'step' | 'each' | 'output'): void {
    if (Array.isArray(plain)) {
      for (const [index, inner] of plain.entries()) this.#value(inner, [...path, index], place)
    } else if (typeof plain === 'object' && plain !== null) {
      for (const [key, inner] of Object.entries(plain)) this.#value(inner, [...path, key], place)
    } else if (typeof plain === 'string' && isReference(plain)) this.#reference(plain, path, place)
  }

  #reference(text: string, path: readonly PathPart[], place: 'step' | 'each' | 'output'): void {
    const reference = parseReference(text)
    if (reference === undefined) {
      const hint =
        'Write `$.input.NAME`, `$.STEP`, `$.STEP.key[0]` or `$.item`; `$$.` begins a text that is no reference.'
      this.#report('error', 'invalid-value', path, `This is not a reference: \`${text}\``, { hint })
      return
    }
    const [first] = reference
    if (first === 'input') this.#inputReference(reference, path)
    else if (first === 'item') {
      if (place === 'each') return
      const hint = 'There is an item in the `input` of a step with `each` only.'
      this.#report('error', 'unknown-step', path, `There is no item here: \`${text}\``, { hint })
    } else if (!this.#before.has(first)) this.#unknownStep(first, text, path)
  }

  #inputReference(reference: Reference, path: readonly PathPart[]): void {
    if (typeof reference[1] === 'string') return
    const hint = 'Name one of the inputs: `$.input.NAME`.'
    this.#report('error', 'invalid-value', path, `This names no input: \`${formatReference(reference)}\``, { hint })
  }

  #unknownStep(name: string, text: string, path: readonly PathPart[]): void {
    const known = [...this.#before]
    const hint = this.#names.has(name)
      ? 'A step sees what ran before it, not itself nor its neighbours in `parallel`.'
      : known.length === 0
        ? 'No step runs before this one; `$.input.NAME` names an input of the pipeline.'
        : `There are: ${['input', ...known.slice(-20)].join(', ')}.`
    this.#report('error', 'unknown-step', path, `No step before this one is named \`${name}\`: \`${text}\``, {
      hint,
      suggestion: this.#names.has(name) ? undefined : this.#suggest(text, name, known),
    })
  }

  /** The whole text with the nearest name in it. */
  #suggest(text: string, name: string, known: readonly string[]): string | undefined {
    const near = nearest(name, ['input', ...known])
    return near === undefined ? undefined : text.replace(name, () => near)
  }
}
