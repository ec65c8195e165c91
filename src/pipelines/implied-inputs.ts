import type { PipelineValue } from '../config/pipeline-value.ts'
import type { OperationDescription } from '../predictor/describe.ts'
import type { ValueType } from '../predictor/value-type.ts'
import { fits } from './fits.ts'

/** What a step without `input` draws from: what came before, or the item. */
export interface InputSource {
  readonly value: PipelineValue
  readonly type: ValueType
}

/**
 * The inputs of a step that does not say them.
 *
 * Without a source, those of the pipeline of the same names. Else the source as a whole for the one input that has to be given
 * (or that there is); else, where it has fields of the names of the inputs, these.
 *
 * @returns undefined where neither will do
 */
export function impliedInputs(
  { inputs }: Pick<OperationDescription, 'inputs'>,
  source: InputSource | undefined,
): Readonly<Record<string, PipelineValue>> | undefined {
  if (source === undefined) return Object.fromEntries(inputs.map(({ name }) => [name, { ref: ['input', name] }]))
  if (inputs.length === 0) return {}
  const required = inputs.filter((input) => input.required)
  const single = required.length === 1 ? required[0] : inputs.length === 1 ? inputs[0] : undefined
  if (single !== undefined && fits(source.type, single.type)) return { [single.name]: source.value }
  const fields = fieldsOf(source.type)
  const named = inputs.filter(({ name }) => fields.includes(name))
  if (named.length > 0 && required.every((input) => named.includes(input)))
    return Object.fromEntries(named.map(({ name }) => [name, memberOf(source.value, name)]))
  // One that does not fit is told of as such.
  return single === undefined ? undefined : { [single.name]: source.value }
}

function fieldsOf(type: ValueType): readonly string[] {
  if (type.kind === 'nullable') return fieldsOf(type.of)
  return type.kind === 'object' ? type.fields.map(({ name }) => name) : []
}

function memberOf(value: PipelineValue, name: string): PipelineValue {
  if ('object' in value) return value.object[name] ?? { const: null }
  return 'ref' in value ? { ref: [...value.ref, name] } : { const: null }
}
