import { posix } from 'node:path'
import { BuildError } from '../src/core/errors.ts'

/** Says which paths of a project Docker would leave out. */
export interface IgnoreRules {
  /** Whether a path, relative and with `/`, is left out: by itself or with a folder above it. */
  isIgnored(path: string): boolean
  /** The same for what lies directly in a folder, with what its path and those above it match found once. */
  inFolder(folder: string): (path: string) => boolean
  /** Whether nothing below an ignored folder can be brought back by a `!` rule, so that it need not be read. */
  isSealed(folder: string): boolean
}

interface Rule {
  readonly pattern: string
  readonly isException: boolean
  readonly matches: (path: string) => boolean
}

/**
 * Parses a `.dockerignore` as Docker does: rules in order, the last that matches decides, `!` brings back, `**` spans
 * folders, a match of a folder covers what lies in it.
 *
 * @param text content of the file; empty when there is none
 * @param extra patterns that come before the file's own, so that it can bring back what they leave out
 * @throws BuildError PROJECT_INVALID with the line of a malformed pattern
 * @see moby/patternmatcher, `patternmatcher.go` and `ignorefile/ignorefile.go`
 */
export function parseDockerIgnore(text: string, extra: readonly string[] = []): IgnoreRules {
  const lines = text.replace(/^\uFEFF/, '').split('\n')
  const rules = [
    ...extra.flatMap((line) => parseLine(line, 'a built-in rule')),
    ...lines.flatMap((line, n) => parseLine(line.replace(/\r$/, ''), `.dockerignore line ${n + 1}`)),
  ]
  const inFolder = (folder: string): ((path: string) => boolean) => {
    const above = foldersAbove(folder)
    const covering = rules.map(({ matches }) => above.some(matches))
    return (path) => isIgnored(path, rules, covering)
  }
  return {
    isIgnored: (path) => inFolder(posix.dirname(path))(path),
    inFolder,
    isSealed: (folder) => isSealed(folder, rules),
  }
}

/** A folder and all above it, the nearest first. */
function foldersAbove(folder: string): readonly string[] {
  if (folder === '' || folder === '.') return []
  const parts = folder.split('/')
  return parts.map((_, n) => parts.slice(0, parts.length - n).join('/'))
}

/** @param covering whether each rule matches a folder above the path */
function isIgnored(path: string, rules: readonly Rule[], covering: readonly boolean[]): boolean {
  let ignored = false
  for (const [n, { isException, matches }] of rules.entries()) {
    // A rule that would change nothing is not evaluated.
    if (isException === ignored && (covering[n] === true || matches(path))) ignored = !isException
  }
  return ignored
}

function isSealed(folder: string, rules: readonly Rule[]): boolean {
  return !rules.some(({ isException, pattern }) => {
    if (!isException) return false
    const literal = pattern.split(/[*?[\\]/, 1)[0] ?? ''
    const isPlain = literal === pattern
    // What the exception can match starts with its literal part; it matters below the folder if one is a prefix of the other.
    return `${folder}/`.startsWith(isPlain ? `${literal}/` : literal) || literal.startsWith(`${folder}/`)
  })
}

function parseLine(line: string, where: string): Rule[] {
  // A comment is known by the first column; white space before `#` makes it a pattern.
  if (line.startsWith('#')) return []
  let pattern = line.trim()
  if (pattern === '') return []
  const isException = pattern.startsWith('!')
  if (isException) pattern = pattern.slice(1).trim()
  if (pattern === '') throw malformed(where, line)
  pattern = clean(pattern)
  if (pattern.length > 1 && pattern.startsWith('/')) pattern = pattern.slice(1)
  return [{ pattern, isException, matches: compile(pattern, where, line) }]
}

/** As Go's `filepath.Clean`. */
function clean(pattern: string): string {
  const normal = posix.normalize(pattern)
  return normal.length > 1 ? normal.replace(/\/+$/, '') : normal
}

function compile(pattern: string, where: string, line: string): (path: string) => boolean {
  // Docker takes these by their end, which lets `**.pyc` match inside a name; the general rule below would not.
  const suffix = /^\*\*([^*?[\]\\]*)$/.exec(pattern)?.[1]
  if (suffix !== undefined) return (path) => path.endsWith(suffix) || `/${path}` === suffix
  let expression = ''
  for (let at = 0; at < pattern.length;) {
    const char = pattern.charAt(at)
    if (pattern.startsWith('**', at)) {
      at += 2
      // `**/` spans no folder as well, so its slash belongs to it; at the end `**` takes all that is left.
      if (pattern.charAt(at) === '/') at++
      expression += at >= pattern.length ? '.*' : '(?:.*/)?'
    } else if (char === '*') {
      expression += '[^/]*'
      at++
    } else if (char === '?') {
      expression += '[^/]'
      at++
    } else if (char === '[') {
      const { expression: set, next } = compileSet(pattern, at, () => malformed(where, line))
      expression += set
      at = next
    } else if (char === '\\') {
      if (at + 1 >= pattern.length) throw malformed(where, line)
      const escaped = String.fromCodePoint(pattern.codePointAt(at + 1) ?? 0)
      expression += escape(escaped)
      at += 1 + escaped.length
    } else {
      const literal = String.fromCodePoint(pattern.codePointAt(at) ?? 0)
      expression += escape(literal)
      at += literal.length
    }
  }
  const regexp = new RegExp(`^${expression}$`, 'u')
  return (path) => regexp.test(path)
}

/** A set such as `[a-z]`, `[^0-9]`; malformed where Go's `filepath.Match` says so. */
function compileSet(pattern: string, start: number, refuse: () => BuildError): { expression: string; next: number } {
  let at = start + 1
  const isNegated = pattern.charAt(at) === '^'
  if (isNegated) at++
  const take = (): string => {
    if (pattern.charAt(at) === '\\') at++
    else if (pattern.charAt(at) === '-' || pattern.charAt(at) === ']') throw refuse()
    if (at >= pattern.length) throw refuse()
    const char = String.fromCodePoint(pattern.codePointAt(at) ?? 0)
    at += char.length
    return char
  }
  let ranges = ''
  do {
    const low = take()
    let high = low
    if (pattern.charAt(at) === '-') {
      at++
      high = take()
    }
    // A range that runs backwards matches nothing, in Go; in a regular expression it is an error.
    if (low <= high) ranges += `${codeUnit(low)}-${codeUnit(high)}`
    if (at >= pattern.length) throw refuse()
  } while (pattern.charAt(at) !== ']')
  return { expression: isNegated ? `[^${ranges}]` : `[${ranges}]`, next: at + 1 }
}

function escape(char: string): string {
  return /[\^$\\.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char
}

/** A character as a set takes it, whatever it means there. */
function codeUnit(char: string): string {
  return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`
}

function malformed(where: string, line: string): BuildError {
  return new BuildError('PROJECT_INVALID', `${where} is no pattern that Docker knows: \`${line.trim()}\``, {
    hint: 'Sets need a closing bracket, and a backslash needs something after it.',
  })
}
