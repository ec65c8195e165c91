/** What an annotation says about the values, as far as JSON is concerned. */
export type ValueType =
  | { readonly kind: 'string' | 'integer' | 'number' | 'boolean' }
  | { readonly kind: 'path' | 'file' | 'secret' }
  /** Any JSON value. */
  | { readonly kind: 'any' }
  /** An object of which nothing more is known. */
  | { readonly kind: 'opaque' }
  | { readonly kind: 'none' }
  | { readonly kind: 'list'; readonly item: ValueType }
  | { readonly kind: 'dict'; readonly value: ValueType }
  | { readonly kind: 'literal'; readonly values: readonly (string | number | boolean)[] }
  /** At least two members, none of them `none`. */
  | { readonly kind: 'union'; readonly members: readonly ValueType[] }
  | { readonly kind: 'nullable'; readonly of: ValueType }
  | {
      readonly kind: 'object'
      readonly name: string
      readonly form: ObjectForm
      readonly fields: readonly ObjectField[]
    }
  | { readonly kind: 'iterator'; readonly item: ValueType; readonly concatenate: boolean }

/** How the object is made in Python. */
export type ObjectForm = 'model' | 'dataclass' | 'typed-dict'

/** A field of a model, dataclass or typed dict. */
export interface ObjectField {
  readonly name: string
  readonly type: ValueType
  readonly required: boolean
  readonly description?: string
}

/** Makes a union, with `none` as nullable around it and inner unions laid flat. */
export function union(members: readonly ValueType[]): ValueType {
  let nullable = false
  const flat: ValueType[] = []
  const add = (type: ValueType): void => {
    if (type.kind === 'none') nullable = true
    else if (type.kind === 'nullable') {
      nullable = true
      add(type.of)
    } else if (type.kind === 'union') type.members.forEach(add)
    else if (!flat.some((other) => JSON.stringify(other) === JSON.stringify(type))) flat.push(type)
  }
  members.forEach(add)
  const [first] = flat
  if (first === undefined) return { kind: 'none' }
  const type: ValueType = flat.length === 1 ? first : { kind: 'union', members: flat }
  return nullable ? { kind: 'nullable', of: type } : type
}

/** Whether a type, or something within it, passes a test. */
export function holds(type: ValueType, test: (type: ValueType) => boolean): boolean {
  return test(type) || holdsWithin(type, test)
}

/** Whether something within a type, but not the type itself, passes a test. */
export function holdsWithin(type: ValueType, test: (type: ValueType) => boolean): boolean {
  switch (type.kind) {
    case 'list':
    case 'iterator':
      return holds(type.item, test)
    case 'dict':
      return holds(type.value, test)
    case 'union':
      return type.members.some((member) => holds(member, test))
    case 'nullable':
      return holds(type.of, test)
    case 'object':
      return type.fields.some((field) => holds(field.type, test))
    default:
      return false
  }
}
