import type { MemberYaml, PipelineYaml, StepYaml } from './pipelines-schema.ts'
import type { PathPart } from './tree.ts'

/** A step as it is written, with its short form made long and its place in the file. */
export interface WrittenStep {
  readonly path: readonly PathPart[]
  /** Undefined where the file does not say, and for `parallel`. */
  readonly model: string | undefined
  readonly modelPath: readonly PathPart[]
  readonly name: string | undefined
  /** The keys beside the two; empty for a bare name. */
  readonly written: Exclude<StepYaml, string>
  readonly parallel?: readonly WrittenStep[]
}

/** A pipeline as it is written, with its short form made long. */
export interface WrittenPipeline {
  readonly steps: readonly WrittenStep[]
  readonly output: unknown
  readonly outputPath: readonly PathPart[]
}

/** Reads both forms of a pipeline. */
export function readSteps(yaml: PipelineYaml, path: readonly PathPart[]): WrittenPipeline {
  const steps = Array.isArray(yaml) ? yaml : yaml.steps
  const above = Array.isArray(yaml) ? path : [...path, 'steps']
  return {
    steps: steps.map((step, index) => readStep(step, [...above, index])),
    output: Array.isArray(yaml) ? undefined : yaml.output,
    outputPath: [...path, 'output'],
  }
}

function readStep(yaml: StepYaml | MemberYaml, path: readonly PathPart[]): WrittenStep {
  if (typeof yaml === 'string') return { path, model: yaml, modelPath: path, name: yaml, written: {} }
  const { model, name = model } = yaml
  const step = { path, model, modelPath: [...path, 'model'], name, written: yaml }
  if (!('parallel' in yaml) || yaml.parallel === undefined) return step
  return {
    ...step,
    parallel: yaml.parallel.map((member, index) => readStep(member, [...path, 'parallel', index])),
  }
}
