import { nearest } from '../core/suggest.ts'
import { union, type ValueType } from '../predictor/value-type.ts'
import { describeType } from './fits.ts'

/** What stands at a path into a value, or why nothing can. */
export type TypeAt =
  | { readonly type: ValueType }
  | {
      readonly problem: string
      readonly hint?: string
      /** The path with what may have been meant. */
      readonly suggestion?: readonly (string | number)[]
    }

/** Follows keys and indexes into a type. What may be null is followed as if it were not: whether it is shows when it runs. */
export function typeAt(type: ValueType, path: readonly (string | number)[]): TypeAt {
  const [part, ...rest] = path
  if (part === undefined) return { type }
  const step = member(type, part)
  if (!('type' in step)) {
    const { suggestion, ...problem } = step
    return suggestion === undefined ? problem : { ...problem, suggestion: [suggestion, ...rest] }
  }
  const found = typeAt(step.type, rest)
  return 'type' in found || found.suggestion === undefined
    ? found
    : { ...found, suggestion: [part, ...found.suggestion] }
}

type MemberAt =
  | { readonly type: ValueType }
  | { readonly problem: string; readonly hint?: string; readonly suggestion?: string }

function member(type: ValueType, part: string | number): MemberAt {
  switch (type.kind) {
    case 'any':
      return { type }
    case 'nullable':
      return member(type.of, part)
    case 'union':
      return memberOfUnion(type.members, part)
    case 'list':
    case 'iterator':
      if (typeof part === 'number') return { type: type.item }
      return {
        problem: `\`${part}\` names a field, but it is ${describeType(type)}`,
        hint: 'Take one item with `[0]`, or run the step for all of them with `each`.',
      }
    case 'opaque':
      return typeof part === 'string' ? { type: { kind: 'any' } } : noItem(type, part)
    case 'dict':
      return typeof part === 'string' ? { type: type.value } : noItem(type, part)
    case 'object':
      return typeof part === 'string' ? field(type, part) : noItem(type, part)
    default:
      return { problem: `Nothing lies within ${describeType(type)}: \`${part}\`` }
  }
}

function memberOfUnion(members: readonly ValueType[], part: string | number): MemberAt {
  const found = members.map((one) => member(one, part))
  const types = found.flatMap((one) => ('type' in one ? [one.type] : []))
  return types.length > 0 ? { type: union(types) } : (found[0] ?? { type: { kind: 'any' } })
}

function noItem(type: ValueType, part: number): MemberAt {
  return { problem: `\`[${part}]\` is for lists, but it is ${describeType(type)}` }
}

function field({ name, fields }: Extract<ValueType, { kind: 'object' }>, part: string): MemberAt {
  const found = fields.find((one) => one.name === part)
  if (found !== undefined) return { type: found.required ? found.type : union([found.type, { kind: 'none' }]) }
  const names = fields.map((one) => one.name)
  const near = nearest(part, names)
  return {
    problem: `${name === '' ? 'The mapping' : `\`${name}\``} has no field \`${part}\``,
    ...(near === undefined ? { hint: `It has: ${names.join(', ')}.` } : { suggestion: near }),
  }
}

/** What the items of a list are; undefined when it is none. */
export function itemOf(type: ValueType): ValueType | undefined {
  switch (type.kind) {
    case 'any':
      return type
    case 'nullable':
      return itemOf(type.of)
    case 'list':
    case 'iterator':
      return type.item
    case 'union': {
      const items = type.members.flatMap((one) => itemOf(one) ?? [])
      return items.length === 0 ? undefined : union(items)
    }
    default:
      return undefined
  }
}
