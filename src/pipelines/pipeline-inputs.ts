import type { PathPart } from '../config/tree.ts'
import type { InputDescription } from '../predictor/input.ts'
import type { ValueType } from '../predictor/value-type.ts'
import type { Complain } from './complain.ts'
import { describeType } from './fits.ts'

/** Where an input of a pipeline flows into. */
type Place =
  /** An input of a model, or, item by item, one of a step with `each`. */
  | { readonly kind: 'input' | 'items'; readonly input: InputDescription; readonly path: readonly PathPart[] }
  /** An `each`; the places of its items say more. */
  | { readonly kind: 'list'; readonly path: readonly PathPart[] }
  /** A `when`. */
  | { readonly kind: 'switch'; readonly step: string }
  /** Something that says nothing of its type. */
  | { readonly kind: 'part' }

/** Gathers what a pipeline takes from where it is used. */
export class PipelineInputs {
  readonly #places = new Map<string, Place[]>()

  add(name: string, place: Place): void {
    const places = this.#places.get(name)
    if (places === undefined) this.#places.set(name, [place])
    else places.push(place)
  }

  /** In the order in which they are first used; two uses of different types are told of. */
  describe(complain: Complain): readonly InputDescription[] {
    return [...this.#places].map(([name, places]) => describeInput(name, places, complain))
  }
}

function describeInput(name: string, places: readonly Place[], complain: Complain): InputDescription {
  const uses = places.flatMap((place) => ('path' in place ? [{ path: place.path, input: inputOf(name, place) }] : []))
  // One that does not take null decides over one that does: the other takes its values too.
  const known = uses.filter(({ input }) => input.type.kind !== 'list' || input.type.item.kind !== 'any')
  const chosen = known.find(({ input }) => input.type.kind !== 'nullable') ?? known[0] ?? uses[0]
  if (chosen === undefined) return untyped(name, places)
  for (const { input, path } of uses) {
    if (agree(input.type, chosen.input.type)) continue
    complain({
      code: 'step-type',
      path,
      message: `The input \`${name}\` of the pipeline cannot be ${describeType(input.type)} here and ${describeType(chosen.input.type)} elsewhere`,
      hint: 'Use two inputs of different names.',
    })
  }
  return { ...chosen.input, name }
}

/** The input of a model, or a list of such. */
function inputOf(name: string, place: Extract<Place, { readonly path: unknown }>): InputDescription {
  if (place.kind === 'list') return { name, type: { kind: 'list', item: { kind: 'any' } }, required: true }
  if (place.kind === 'input') return place.input
  const { default: _, type, ...rest } = place.input
  return { ...rest, type: { kind: 'list', item: type.kind === 'nullable' ? type.of : type }, required: true }
}

function untyped(name: string, places: readonly Place[]): InputDescription {
  const switches = places.flatMap((place) => (place.kind === 'switch' ? [place.step] : []))
  if (switches.length < places.length) return { name, type: { kind: 'any' }, required: true }
  const description = `Whether ${[...new Set(switches)].join(', ')} ${switches.length > 1 ? 'run' : 'runs'}`
  return { name, type: { kind: 'boolean' }, default: { value: false }, required: false, description }
}

function agree(a: ValueType, b: ValueType): boolean {
  const [one, other] = [a, b].map((type) => (type.kind === 'nullable' ? type.of : type))
  if (one === undefined || other === undefined || one.kind === 'any' || other.kind === 'any') return true
  if (one.kind === 'list' && other.kind === 'list') return agree(one.item, other.item)
  return JSON.stringify(one) === JSON.stringify(other)
}
