import { ROOT, type Cause, type Incompatibility, type PackageKey } from './incompatibility.ts'
import type { VersionSet } from './version-set.ts'

/** What is needed to put sets of versions into words. */
export interface ExplainSource {
  /** Versions of a package, oldest first. */
  versionsOf(key: PackageKey): readonly string[]
  /** The requirement from which a set came. */
  labelOf(key: PackageKey, set: VersionSet): string | undefined
}

type Derived = Incompatibility & { readonly cause: Extract<Cause, { kind: 'conflict' }> }

/**
 * Tells in sentences why nothing satisfies the requirements, from the facts to the conclusion.
 *
 * @see PubGrub, "Error Reporting"
 */
export function explain(proof: Incompatibility, source: ExplainSource): readonly string[] {
  return new Explanation(source).tell(proof)
}

class Explanation {
  readonly #source: ExplainSource
  readonly #sentences: string[] = []
  readonly #uses = new Map<Incompatibility, number>()
  readonly #numbers = new Map<Incompatibility, number>()

  constructor(source: ExplainSource) {
    this.#source = source
  }

  tell(proof: Incompatibility): readonly string[] {
    if (!isDerived(proof)) return [`${capital(this.#fact(proof))}.`]
    this.#count(proof)
    this.#derive(proof)
    return this.#sentences
  }

  #count(incompatibility: Incompatibility): void {
    const uses = (this.#uses.get(incompatibility) ?? 0) + 1
    this.#uses.set(incompatibility, uses)
    if (uses > 1 || !isDerived(incompatibility)) return
    this.#count(incompatibility.cause.left)
    this.#count(incompatibility.cause.right)
  }

  #derive(conclusion: Derived): void {
    const { left, right } = conclusion.cause
    if (isDerived(left) && isDerived(right)) this.#fromTwoDerived(conclusion, left, right)
    else if (isDerived(left)) this.#fromOneDerived(conclusion, left, right)
    else if (isDerived(right)) this.#fromOneDerived(conclusion, right, left)
    else this.#say(`Because ${this.#fact(left)} and ${this.#fact(right)}`, conclusion)
    // A conclusion that is used again later gets a number to be called by.
    if ((this.#uses.get(conclusion) ?? 0) > 1 && !this.#numbers.has(conclusion)) {
      this.#numbers.set(conclusion, this.#numbers.size + 1)
      this.#sentences.push(`${this.#sentences.pop()} (${this.#numbers.size})`)
    }
  }

  #fromTwoDerived(conclusion: Derived, left: Derived, right: Derived): void {
    const [leftNumber, rightNumber] = [this.#numbers.get(left), this.#numbers.get(right)]
    if (leftNumber !== undefined && rightNumber !== undefined) {
      this.#say(`Because ${this.#claim(left)} (${leftNumber}) and ${this.#claim(right)} (${rightNumber})`, conclusion)
    } else if (leftNumber !== undefined || rightNumber !== undefined) {
      const [told, untold, number] = leftNumber === undefined ? [right, left, rightNumber] : [left, right, leftNumber]
      this.#derive(untold)
      this.#say(`And because ${this.#claim(told)} (${number})`, conclusion)
    } else {
      // The simpler side last, so that the reader still has it in mind.
      const [first, second] = isSimple(left) ? [right, left] : [left, right]
      this.#derive(first)
      if (!this.#numbers.has(first)) {
        this.#numbers.set(first, this.#numbers.size + 1)
        this.#sentences.push(`${this.#sentences.pop()} (${this.#numbers.size})`)
      }
      this.#derive(second)
      this.#say(`And because ${this.#claim(first)} (${this.#numbers.get(first)})`, conclusion)
    }
  }

  #fromOneDerived(conclusion: Derived, derived: Derived, fact: Incompatibility): void {
    const number = this.#numbers.get(derived)
    if (number !== undefined) {
      this.#say(`Because ${this.#fact(fact)} and ${this.#claim(derived)} (${number})`, conclusion)
      return
    }
    // Two facts in a row make one sentence: "And because A and B, ...".
    const { left, right } = derived.cause
    const inner = isDerived(left) === isDerived(right) ? undefined : isDerived(left) ? [left, right] : [right, left]
    const [before, other] = inner ?? []
    const isShort =
      before !== undefined && other !== undefined && !this.#numbers.has(derived) && this.#uses.get(derived) === 1
    if (isShort && isDerived(before) && !this.#numbers.has(before)) {
      this.#derive(before)
      this.#say(`And because ${this.#fact(other)} and ${this.#fact(fact)}`, conclusion)
    } else {
      this.#derive(derived)
      this.#say(`And because ${this.#fact(fact)}`, conclusion)
    }
  }

  #say(because: string, conclusion: Incompatibility): void {
    this.#sentences.push(`${because}, we can conclude that ${this.#claim(conclusion)}.`)
  }

  /** A fact that came from outside of the solver. */
  #fact(incompatibility: Incompatibility): string {
    const { cause } = incompatibility
    switch (cause.kind) {
      case 'dependency':
      case 'unmet': {
        const text = code(cause.text)
        const tail = cause.kind === 'dependency' ? '' : describeUnmet(cause)
        if (cause.dependant === ROOT) return `you require ${text}${tail}`
        return `${this.#versions(incompatibility, cause.dependant, 'depends', 'depend')} on ${text}${tail}`
      }
      case 'unusable':
        return `${this.#subject(incompatibility, cause.package)} ${cause.reason}`
      case 'root':
        return 'your requirements must be met'
      case 'conflict':
        return this.#claim(incompatibility)
    }
  }

  /** What an incompatibility says, without saying why. */
  #claim(incompatibility: Incompatibility): string {
    const terms = [...incompatibility.terms].filter(([key]) => key !== ROOT)
    const hasRoot = incompatibility.terms.has(ROOT)
    const positive = terms.filter(([, set]) => !set.allowsAbsent)
    const negative = terms.filter(([, set]) => set.allowsAbsent)
    const subjects = positive.map(([key, set]) => this.#describe(key, set))
    const needs = negative.map(([key, set]) => this.#describe(key, set.negate()))
    if (terms.length === 0) return 'your requirements are unsatisfiable'
    if (needs.length === 0) {
      if (hasRoot) return `your requirements and ${joined(subjects, 'and')} are incompatible`
      return subjects.length === 1 ? `${subjects[0]} cannot be used` : `${joined(subjects, 'and')} are incompatible`
    }
    if (subjects.length === 0) return `${hasRoot ? 'you require' : 'there must be'} ${joined(needs, 'or')}`
    const who = hasRoot ? ['your requirements', ...subjects] : subjects
    return `${joined(who, 'and')} ${who.length === 1 ? 'depends' : 'depend'} on ${joined(needs, 'or')}`
  }

  #subject(incompatibility: Incompatibility, key: PackageKey): string {
    const set = incompatibility.terms.get(key)
    return set === undefined ? code(key) : this.#describe(key, set)
  }

  #versions(incompatibility: Incompatibility, key: PackageKey, singular: string, plural: string): string {
    const isMany =
      (incompatibility.terms.get(key)?.indices().length ?? 1) > 1 && this.#source.versionsOf(key).length > 1
    const subject = this.#subject(incompatibility, key)
    return `${subject} ${isMany && subject.startsWith('all') ? plural : singular}`
  }

  #describe(key: PackageKey, set: VersionSet): string {
    const versions = this.#source.versionsOf(key)
    const indices = set.indices()
    const label = this.#source.labelOf(key, set)
    if (indices.length === versions.length && versions.length > 1 && label === undefined)
      return `all versions of ${code(key)}`
    if (label !== undefined && label !== key) return code(label)
    if (indices.length === versions.length && versions.length > 1) return code(key)
    return joined(
      runs(indices).map(([from, to]) => code(key + range(versions, from, to))),
      'or',
    )
  }
}

/** Neighbouring positions as pairs of first and last. */
function runs(indices: readonly number[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = []
  for (const index of indices) {
    const last = found.at(-1)
    if (last !== undefined && last[1] === index - 1) last[1] = index
    else found.push([index, index])
  }
  return found
}

function range(versions: readonly string[], from: number, to: number): string {
  if (from === to) return `==${versions[from]}`
  if (from === 0) return `<=${versions[to]}`
  if (to === versions.length - 1) return `>=${versions[from]}`
  return `>=${versions[from]},<=${versions[to]}`
}

function describeUnmet(cause: Extract<Cause, { kind: 'unmet' }>): string {
  return cause.why.kind === 'not-found'
    ? ', which no index has'
    : `, of which no version exists (there is ${cause.why.available})`
}

function isDerived(incompatibility: Incompatibility): incompatibility is Derived {
  return incompatibility.cause.kind === 'conflict'
}

function isSimple({ cause }: Derived): boolean {
  return !isDerived(cause.left) && !isDerived(cause.right)
}

function joined(parts: readonly string[], word: string): string {
  if (parts.length < 3) return parts.join(` ${word} `)
  return `${parts.slice(0, -1).join(', ')}, ${word} ${parts.at(-1)}`
}

function code(text: string): string {
  return `\`${text}\``
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
