/** One logical line of a requirements file: comments gone, continuations joined, variables filled in. */
export interface LogicalLine {
  readonly text: string
  /** Of its first physical line, counted from 1. */
  readonly number: number
}

/**
 * Splits a requirements file into logical lines, as pip does.
 *
 * A backslash at the end joins the next line, also in the middle of a requirement; a comment line ends a
 * continuation; `#` starts a comment only at the start or after white space; `${NAME}` is replaced by a variable that
 * is set, and stays otherwise.
 */
export function splitLogicalLines(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly LogicalLine[] {
  const lines: LogicalLine[] = []
  let joined = ''
  let start = 0
  for (const [index, line] of text.split(/\r\n|\r|\n/).entries()) {
    if (joined === '') start = index + 1
    const isComment = /^\s*#/.test(line)
    if (line.endsWith('\\') && !isComment) {
      joined += line.slice(0, -1)
      continue
    }
    pushLine(lines, joined + (isComment ? ` ${line}` : line), start, env)
    joined = ''
  }
  if (joined !== '') pushLine(lines, joined, start, env)
  return lines
}

function pushLine(
  lines: LogicalLine[],
  line: string,
  number: number,
  env: Readonly<Record<string, string | undefined>>,
): void {
  const text = line.replace(/(?:^|\s+)#.*$/, '').trim()
  if (text !== '') lines.push({ text: expandVariables(text, env), number })
}

function expandVariables(text: string, env: Readonly<Record<string, string | undefined>>): string {
  return text.replace(/\$\{([A-Z0-9_]+)\}/g, (whole, name: string) => env[name] ?? whole)
}

/**
 * Splits options as a shell would: quotes group, a backslash escapes.
 *
 * @returns undefined when a quote is not closed
 */
export function splitShellWords(text: string): readonly string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (quote === '' && /\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (quote === '' && (char === '"' || char === "'")) {
      quote = char
      word ??= ''
    } else if (char === quote) {
      quote = ''
    } else if (char === '\\' && quote !== "'" && i + 1 < text.length) {
      word = (word ?? '') + text.charAt(++i)
    } else {
      word = (word ?? '') + char
    }
  }
  if (word !== undefined) words.push(word)
  return quote === '' ? words : undefined
}
