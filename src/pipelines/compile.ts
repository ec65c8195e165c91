import type { ParallelConfig, PipelineConfig, StepConfig } from '../config/config.ts'
import { referencesIn, type PipelineValue, type Reference } from '../config/pipeline-value.ts'
import type { OperationDescription } from '../predictor/describe.ts'
import type { InputDescription } from '../predictor/input.ts'
import { union, type ValueType } from '../predictor/value-type.ts'
import type { PathPart } from '../config/tree.ts'
import type { Complain } from './complain.ts'
import { describeType, fits } from './fits.ts'
import { impliedInputs, type InputSource } from './implied-inputs.ts'
import { PipelineInputs } from './pipeline-inputs.ts'
import { misfit, missingInput, nothingImplied, unknownInput } from './step-problems.ts'
import { itemOf } from './type-at.ts'
import { typeOfValue } from './type-of-value.ts'

/** What one input is given; `join` makes one text of the pieces that a `ConcatenateIterator` gave. */
export type StepInput = PipelineValue | { readonly join: PipelineValue }

/** A step as the launcher reads it: nothing is implied any more. */
export interface CompiledStep {
  readonly name: string
  readonly model: string
  readonly input: Readonly<Record<string, StepInput>>
  readonly when?: PipelineValue
  readonly each?: PipelineValue
  readonly optional?: true
}

/** A pipeline as the launcher reads it, with what it takes and gives. */
export interface CompiledPipeline {
  readonly steps: readonly (CompiledStep | { readonly parallel: readonly CompiledStep[] })[]
  readonly output: PipelineValue
  readonly operation: OperationDescription
}

/** Signatures by the name of the model; undefined for one that cannot be described, which is told of elsewhere. */
export type Signatures = ReadonlyMap<string, OperationDescription | undefined>

/**
 * Writes out what a pipeline implies, and checks that its values fit where they flow. Every problem is told of.
 *
 * @param path of the pipeline in the cog.yaml
 */
export function compilePipeline(
  pipeline: PipelineConfig,
  path: readonly PathPart[],
  signatures: Signatures,
  complain: Complain,
): CompiledPipeline {
  return new PipelineCompiler(signatures, complain).compile(pipeline, path)
}

const ANY: ValueType = { kind: 'any' }

class PipelineCompiler {
  readonly #signatures: Signatures
  readonly #complain: Complain
  readonly #inputs = new PipelineInputs()
  /** What the steps give, by name. */
  readonly #outputs = new Map<string, ValueType>()
  /** Steps that give a text in pieces. */
  readonly #texts = new Set<string>()
  #previous: InputSource | undefined

  constructor(signatures: Signatures, complain: Complain) {
    this.#signatures = signatures
    this.#complain = complain
  }

  compile({ steps, output: written }: PipelineConfig, path: readonly PathPart[]): CompiledPipeline {
    const compiled = steps.map((step) => ('parallel' in step ? this.#parallel(step) : this.#alone(step)))
    const output = written ?? this.#previous?.value ?? { const: null }
    if (written !== undefined) this.#noteParts(written)
    const type = written === undefined ? this.#previous?.type : this.#typeOf(written, [...path, 'output'], ANY)
    const streamed = this.#streamed(output, steps.at(-1))
    const outputType = streamed?.output ?? type ?? ANY
    const used = steps.flatMap((step) => ('parallel' in step ? step.parallel : [step]))
    return {
      steps: compiled,
      output,
      operation: {
        inputs: this.#inputs.describe(this.#complain),
        output: outputType,
        outputKind: streamed?.outputKind ?? 'single',
        streaming: streamed?.streaming ?? false,
        concurrency: Math.min(...used.map(({ model }) => this.#signatures.get(model)?.concurrency ?? 1)),
        isAsync: true,
      },
    }
  }

  #alone(step: StepConfig): CompiledStep {
    const { compiled, output } = this.#step(step)
    this.#outputs.set(step.name, output)
    this.#previous = { value: { ref: [step.name] }, type: output }
    return compiled
  }

  #parallel({ parallel }: ParallelConfig): { readonly parallel: readonly CompiledStep[] } {
    const made = parallel.map((step) => this.#step(step))
    const fields = made.map(({ compiled, output }) => ({ name: compiled.name, type: output, required: true }))
    for (const { name, type } of fields) this.#outputs.set(name, type)
    this.#previous = {
      value: { object: Object.fromEntries(fields.map(({ name }) => [name, { ref: [name] }])) },
      type: { kind: 'object', name: '', form: 'typed-dict', fields },
    }
    return { parallel: made.map(({ compiled }) => compiled) }
  }

  #step(step: StepConfig): { readonly compiled: CompiledStep; readonly output: ValueType } {
    const { name, model, each, when, optional } = step
    const signature = this.#signatures.get(model)
    const item = each === undefined ? ANY : this.#itemType(each, [...step.path, 'each'])
    if (when !== undefined) this.#when(when, step)
    const source = each === undefined ? this.#previous : { value: { ref: ['item'] as const }, type: item }
    const input = this.#stepInput(step, signature, source, item)
    const compiled = {
      name,
      model,
      input,
      ...(when === undefined ? {} : { when }),
      ...(each === undefined ? {} : { each }),
      ...(optional === true ? { optional } : {}),
    }
    if (each === undefined && signature?.outputKind === 'concatenate') this.#texts.add(name)
    return { compiled, output: outputOf(step, signature) }
  }

  #stepInput(
    step: StepConfig,
    signature: OperationDescription | undefined,
    source: InputSource | undefined,
    item: ValueType,
  ): Readonly<Record<string, StepInput>> {
    if (signature === undefined) {
      for (const value of Object.values(step.input ?? {})) this.#noteParts(value)
      return step.input ?? {}
    }
    const input = step.input ?? impliedInputs(signature, source)
    if (input === undefined) {
      this.#complain(nothingImplied(step, signature.inputs, source))
      return {}
    }
    const given: Record<string, StepInput> = {}
    for (const [name, value] of Object.entries(input)) {
      const path = step.input === undefined ? step.path : [...step.path, 'input', name]
      const target = signature.inputs.find((one) => one.name === name)
      if (target === undefined) this.#complain(unknownInput(name, path, step.model, signature.inputs))
      else given[name] = this.#flow(value, target, path, step, item)
    }
    for (const { name, required } of signature.inputs) {
      if (required && !Object.hasOwn(input, name)) this.#complain(missingInput(name, step))
    }
    return given
  }

  #flow(
    value: PipelineValue,
    target: InputDescription,
    path: readonly PathPart[],
    step: StepConfig,
    item: ValueType,
  ): StepInput {
    if ('ref' in value && isWholeInput(value.ref)) {
      this.#inputs.add(value.ref[1], { kind: 'input', input: target, path })
      return value
    }
    const list = step.each
    if ('ref' in value && value.ref.length === 1 && value.ref[0] === 'item' && list !== undefined && 'ref' in list) {
      if (isWholeInput(list.ref)) this.#inputs.add(list.ref[1], { kind: 'items', input: target, path })
    }
    this.#noteParts(value)
    const type = this.#typeOf(value, path, item)
    if (type === undefined) return value
    if (this.#isText(value) && !fits(type, target.type) && takesText(target.type)) return { join: value }
    const problem = misfit(value, type, target, path, step)
    if (problem !== undefined) this.#complain(problem)
    return value
  }

  /** The whole output of a step that gives a text in pieces. */
  #isText(value: PipelineValue): boolean {
    return 'ref' in value && value.ref.length === 1 && this.#texts.has(value.ref[0])
  }

  #typeOf(value: PipelineValue, path: readonly PathPart[], item: ValueType): ValueType | undefined {
    return typeOfValue(value, path, { outputs: this.#outputs, item, complain: this.#complain })
  }

  #itemType(each: PipelineValue, path: readonly PathPart[]): ValueType {
    if ('ref' in each && isWholeInput(each.ref)) this.#inputs.add(each.ref[1], { kind: 'list', path })
    else this.#noteParts(each)
    const type = this.#typeOf(each, path, ANY)
    const item = type === undefined ? ANY : itemOf(type)
    if (item !== undefined) return item
    const message = `\`each\` needs a list, not ${describeType(type ?? ANY)}`
    this.#complain({ code: 'step-type', path, message })
    return ANY
  }

  #when(when: PipelineValue, { name, path }: StepConfig): void {
    if ('ref' in when && isWholeInput(when.ref)) {
      this.#inputs.add(when.ref[1], { kind: 'switch', step: name })
      return
    }
    this.#noteParts(when)
    this.#typeOf(when, [...path, 'when'], ANY)
  }

  /** Inputs of the pipeline of which nothing is known but that they are there. */
  #noteParts(value: PipelineValue): void {
    for (const [[first, name]] of referencesIn(value)) {
      if (first === 'input' && typeof name === 'string') this.#inputs.add(name, { kind: 'part' })
    }
  }

  /** The last step, where the pipeline gives what it gives while it comes. */
  #streamed(output: PipelineValue, last: StepConfig | ParallelConfig | undefined): OperationDescription | undefined {
    if (last === undefined || 'parallel' in last || !('ref' in output)) return undefined
    const isWhole = output.ref.length === 1 && output.ref[0] === last.name
    const isPlain = last.each === undefined && last.when === undefined && last.optional !== true
    const signature = this.#signatures.get(last.model)
    return isWhole && isPlain && signature?.output.kind === 'iterator' ? signature : undefined
  }
}

/** What a step gives to those after it: an iterator is its list, and what may not run may be null. */
function outputOf({ each, when, optional }: StepConfig, signature: OperationDescription | undefined): ValueType {
  if (signature === undefined) return ANY
  const { output } = signature
  const one: ValueType = output.kind === 'iterator' ? { kind: 'list', item: output.item } : output
  const all: ValueType = each === undefined ? one : { kind: 'list', item: one }
  return when === undefined && optional !== true ? all : union([all, { kind: 'none' }])
}

function takesText(type: ValueType): boolean {
  if (type.kind === 'nullable') return takesText(type.of)
  return type.kind === 'string' || (type.kind === 'union' && type.members.some(takesText))
}

/** `$.input.NAME`, without a path into it. */
function isWholeInput(ref: Reference): ref is readonly ['input', string] {
  return ref.length === 2 && ref[0] === 'input' && typeof ref[1] === 'string'
}
