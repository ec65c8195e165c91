import { BuildError } from '../core/errors.ts'

/** Reads tokens from the left of a text; the grammar's words are sticky regular expressions. */
export class Scanner {
  readonly text: string
  #position = 0

  constructor(text: string) {
    this.text = text
  }

  get isAtEnd(): boolean {
    return this.#position === this.text.length
  }

  /** Takes what the pattern matches here, else answers `undefined` and stays. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position
    const match = pattern.exec(this.text)
    if (match === null) return undefined
    this.#position = pattern.lastIndex
    return match[0]
  }

  /** Tells whether the pattern matches here. */
  sees(pattern: RegExp): boolean {
    pattern.lastIndex = this.#position
    return pattern.test(this.text)
  }

  /** As {@link take}; nothing to take is an error. @throws BuildError REQUIREMENT_INVALID */
  expect(pattern: RegExp, what: string): string {
    return this.take(pattern) ?? this.fail(what)
  }

  skipSpace(): void {
    this.take(SPACE)
  }

  #hint(): string | undefined {
    const sign = /^[=<>!]+/.exec(this.text.slice(this.#position))?.[0] ?? ''
    const meant = SIGNS[sign]
    if (meant === undefined) return undefined
    const rest = this.text.slice(this.#position + sign.length)
    return `Did you mean \`${this.text.slice(0, this.#position)}${meant}${rest}\`?`
  }

  /** @throws BuildError REQUIREMENT_INVALID always, naming the place */
  fail(what: string): never {
    const found = this.isAtEnd ? 'the end' : `\`${this.text.slice(this.#position)}\``
    throw new BuildError(
      'REQUIREMENT_INVALID',
      `Expected ${what} at column ${this.#position + 1}, found ${found} in: \`${this.text}\``,
      { hint: this.#hint(), data: { text: this.text, column: this.#position + 1 } },
    )
  }
}

/** Signs that people write for comparisons, and those that were meant (PEP 508). */
const SIGNS: Readonly<Record<string, string>> = { '=': '==', '=>': '>=', '=<': '<=', '<>': '!=', '!': '!=' }

const SPACE = /[ \t]+/y
