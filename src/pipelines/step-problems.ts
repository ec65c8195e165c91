import type { StepConfig } from '../config/config.ts'
import type { LaterProblem } from '../config/issues.ts'
import { formatReference, type PipelineValue } from '../config/pipeline-value.ts'
import type { PathPart } from '../config/tree.ts'
import { nearest } from '../core/suggest.ts'
import type { InputDescription } from '../predictor/input.ts'
import type { ValueType } from '../predictor/value-type.ts'
import { brokenLimit } from './constants.ts'
import { describeType, fits } from './fits.ts'
import type { InputSource } from './implied-inputs.ts'
import { itemOf } from './type-at.ts'

/* What can be wrong with the inputs of a step, in words. */

type Inputs = readonly InputDescription[]

/** A step gives an input that its model does not have. */
export function unknownInput(name: string, path: readonly PathPart[], model: string, inputs: Inputs): LaterProblem {
  const names = inputs.map((one) => one.name)
  return {
    code: 'step-input',
    path,
    message: `The model \`${model}\` has no input \`${name}\``,
    hint: names.length === 0 ? 'It takes none.' : `It has: ${names.join(', ')}.`,
    suggestion: nearest(name, names),
  }
}

/** A step lacks an input that its model must be given. */
export function missingInput(name: string, { input, model, path }: StepConfig): LaterProblem {
  return {
    code: 'step-input',
    path: input === undefined ? path : [...path, 'input'],
    message: `The model \`${model}\` needs the input \`${name}\``,
    hint: `Give it under \`input\`: \`${name}: $.input.${name}\` takes it from the pipeline's.`,
  }
}

/** A step without `input`, and nothing before it that could be meant. */
export function nothingImplied(
  { model, path }: StepConfig,
  inputs: Inputs,
  source: InputSource | undefined,
): LaterProblem {
  const names = inputs.map(({ name }) => name)
  const from = source === undefined || !('ref' in source.value) ? '$.input.' : `${formatReference(source.value.ref)}.`
  const example = names.map((name) => `${name}: ${from}${name}`).join(', ')
  return {
    code: 'step-input',
    path,
    message: `Nothing says where the inputs of \`${model}\` come from: ${names.join(', ')}`,
    hint: `Write \`input\`, such as \`input: {${example}}\`.`,
  }
}

/** What a value of a type, given to an input, breaks; undefined when it fits. */
export function misfit(
  value: PipelineValue,
  type: ValueType,
  target: InputDescription,
  path: readonly PathPart[],
  step: StepConfig,
): LaterProblem | undefined {
  if (fits(type, target.type)) {
    const broken = 'const' in value ? brokenLimit(value.const, target) : undefined
    if (broken === undefined) return undefined
    const message = `This is no value for the input \`${target.name}\` of \`${step.model}\`: ${broken}`
    return { code: 'step-type', path, message }
  }
  const what = 'ref' in value ? `\`${formatReference(value.ref)}\`` : 'This'
  const item = itemOf(type)
  const isOneOfThem = item !== undefined && fits(item, target.type)
  return {
    code: 'step-type',
    path,
    message: `${what} is ${describeType(type)}; the input \`${target.name}\` of \`${step.model}\` takes ${describeType(target.type)}`,
    hint:
      step.input === undefined
        ? 'Write `input` to say where it comes from.'
        : isOneOfThem
          ? 'Take one item with `[0]`, or run the step for all of them with `each`.'
          : undefined,
  }
}
