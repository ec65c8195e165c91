import { formatReference, type PipelineValue, type Reference } from '../config/pipeline-value.ts'
import type { PathPart } from '../config/tree.ts'
import { union, type ValueType } from '../predictor/value-type.ts'
import type { Complain } from './complain.ts'
import { typeOfConstant } from './constants.ts'
import { typeAt } from './type-at.ts'

/** What references may lead to. */
export interface ValueScope {
  /** What the steps before give, by name. */
  readonly outputs: ReadonlyMap<string, ValueType>
  /** What `$.item` is. */
  readonly item: ValueType
  readonly complain: Complain
}

/** The type of what a step or the pipeline is given; undefined when something in it is wrong, which is told of. */
export function typeOfValue(value: PipelineValue, path: readonly PathPart[], scope: ValueScope): ValueType | undefined {
  if ('const' in value) return typeOfConstant(value.const)
  if ('ref' in value) return typeOfReference(value.ref, path, scope)
  if ('list' in value) {
    const types = value.list.map((inner, index) => typeOfValue(inner, [...path, index], scope))
    const known = types.flatMap((type) => type ?? [])
    return known.length < types.length ? undefined : { kind: 'list', item: union(known) }
  }
  const fields = Object.entries(value.object).flatMap(([name, inner]) => {
    const type = typeOfValue(inner, [...path, name], scope)
    return type === undefined ? [] : [{ name, type, required: true }]
  })
  if (fields.length < Object.keys(value.object).length) return undefined
  return { kind: 'object', name: '', form: 'typed-dict', fields }
}

function typeOfReference(
  ref: Reference,
  path: readonly PathPart[],
  { outputs, item, complain }: ValueScope,
): ValueType | undefined {
  const [first, ...rest] = ref
  // What the pipeline takes follows from where it flows.
  if (first === 'input') return { kind: 'any' }
  const found = typeAt(first === 'item' ? item : (outputs.get(first) ?? { kind: 'any' }), rest)
  if ('type' in found) return found.type
  const { problem, hint, suggestion } = found
  complain({
    code: 'step-type',
    path,
    message: `\`${formatReference(ref)}\`: ${problem}`,
    hint,
    // What is marked is the whole reference.
    suggestion: suggestion === undefined ? undefined : formatReference([first, ...suggestion]),
  })
  return undefined
}
