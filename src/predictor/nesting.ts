import type { Fault } from './syntax.ts'

/** What CPython's own tokenizer takes: MAXLEVEL and MAXINDENT of `Parser/lexer/state.h`. */
const MAX_BRACKETS = 200
const MAX_INDENTS = 100

/**
 * Finds where source is nested deeper than Python itself takes.
 *
 * One pass over the text, so that a hostile file is refused before the grammar, whose time grows with the square of the
 * depth, sees it. Brackets in strings and comments do not count.
 */
export function findTooDeep(text: string): Fault | undefined {
  // Every line starts after a line feed, the first one, too.
  const source = `\n${text}`
  const indents = [0]
  let brackets = 0
  let line = 0
  let lineStart = 0
  TOKEN.lastIndex = 0
  for (let token = TOKEN.exec(source); token !== null; token = TOKEN.exec(source)) {
    const [word, indent] = token
    if (indent !== undefined) {
      line++
      lineStart = token.index + 1
      if (brackets > 0 || /[\s#]/.test(source.charAt(TOKEN.lastIndex) || '\n')) continue
      while (indent.length < (indents.at(-1) ?? 0)) indents.pop()
      if (indent.length > (indents.at(-1) ?? 0)) indents.push(indent.length)
      if (indents.length > MAX_INDENTS) return fault(line, indent.length + 1, 'indented', MAX_INDENTS)
    } else if ('([{'.includes(word)) {
      brackets++
      if (brackets > MAX_BRACKETS) return fault(line, token.index - lineStart + 1, 'nested in brackets', MAX_BRACKETS)
    } else if (')]}'.includes(word)) brackets = Math.max(0, brackets - 1)
    else if (word in ENDS) {
      TOKEN.lastIndex = endOfString(source, TOKEN.lastIndex, word)
      for (let at = token.index; at < TOKEN.lastIndex; at++) {
        if (source.charAt(at) !== '\n') continue
        line++
        lineStart = at + 1
      }
    } else if (word.endsWith('\n')) {
      line++
      lineStart = TOKEN.lastIndex
    }
  }
  return undefined
}

/** Starts of strings, comments, continued lines, brackets, and the start of a line with its indentation (captured). */
const TOKEN = /'''|"""|'|"|#[^\n]*|\\\r?\n|[()[\]{}]|\n([ \t]*)/g

/** Escapes, and what may end a string; in a loop, since one pattern for a whole string needs a stack as deep as it is long. */
const ENDS: Readonly<Record<string, RegExp>> = {
  "'''": /\\[^]|'''/g,
  '"""': /\\[^]|"""/g,
  "'": /\\[^]|'|(?=\n)/g,
  '"': /\\[^]|"|(?=\n)/g,
}

function endOfString(source: string, start: number, quote: string): number {
  const end = ENDS[quote]
  if (end === undefined) return start
  end.lastIndex = start
  for (let found = end.exec(source); found !== null; found = end.exec(source)) {
    if (!found[0].startsWith('\\')) return end.lastIndex
  }
  return source.length
}

function fault(line: number, column: number, how: string, limit: number): Fault {
  const message = `This is ${how} more than ${limit} deep, which Python itself refuses`
  return { line, column, endColumn: column + 1, message }
}
