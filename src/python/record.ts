import { pathProblem } from '../core/archive-path.ts'
import { BuildError } from '../core/errors.ts'

/** Algorithms that a RECORD may use; weaker ones are forbidden. @see PEP 427, "The .dist-info directory" */
const ALGORITHMS = ['sha256', 'sha384', 'sha512'] as const

/** A hash algorithm of a RECORD row. */
export type RecordAlgorithm = (typeof ALGORITHMS)[number]

/** One row of a RECORD file. */
export interface RecordRow {
  /** Relative to site-packages; a row of an installed RECORD may start with `../`. */
  readonly path: string
  readonly hash:
    | { readonly algorithm: RecordAlgorithm; /** URL-safe base64 without padding. */ readonly value: string }
    | undefined
  readonly sizeBytes: number | undefined
}

/**
 * Parses the RECORD of a wheel that is not installed yet.
 *
 * @param what names the wheel in errors
 * @returns rows by path, in the file's order
 * @throws BuildError WHEEL_INVALID with the line number
 * @see PEP 376, "RECORD"; PEP 427
 */
export function parseRecord(text: string, what: string): ReadonlyMap<string, RecordRow> {
  const rows = new Map<string, RecordRow>()
  for (const { fields, line } of parseCsv(text, what)) {
    const [path = '', hash = '', size = ''] = fields
    const refuse = (problem: string): BuildError => invalid(what, `RECORD line ${line}: ${problem}`)
    if (fields.length !== 3) throw refuse(`expected 3 fields, found ${fields.length}`)
    const problem = pathProblem(path)
    if (problem !== undefined) throw refuse(`the path ${JSON.stringify(path)} ${problem}`)
    if (rows.has(path)) throw refuse(`\`${path}\` is listed twice`)
    if (size !== '' && !/^[0-9]{1,15}$/.test(size)) throw refuse(`not a size: \`${size}\``)
    rows.set(path, { path, hash: parseHash(hash, refuse), sizeBytes: size === '' ? undefined : Number(size) })
  }
  return rows
}

/** Writes an installed RECORD: rows sorted by path in code-unit order, so that equal installations have equal bytes. */
export function formatRecord(rows: Iterable<RecordRow>): string {
  return [...rows]
    .toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
    .map(({ path, hash, sizeBytes }) => {
      const written = hash === undefined ? '' : `${hash.algorithm}=${hash.value}`
      return `${quote(path)},${written},${sizeBytes ?? ''}\n`
    })
    .join('')
}

/**
 * Adds rows to what {@link formatRecord} wrote: the same text as if they had been among its rows. Rows are not parsed, since a
 * large package has tens of thousands.
 */
export function addToRecord(record: string, added: readonly RecordRow[]): string {
  const rest = added.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const lines: string[] = []
  // A quoted path may hold a line's end.
  for (const [line] of record.matchAll(/(?:"(?:[^"]|"")*"|[^"\n])*\n/g)) {
    for (let row = rest[0]; row !== undefined && row.path < pathOf(line); row = rest[0]) {
      lines.push(formatRecord([row]))
      rest.shift()
    }
    lines.push(line)
  }
  return lines.join('') + formatRecord(rest)
}

function pathOf(line: string): string {
  const quoted = /^"((?:[^"]|"")*)"/.exec(line)?.[1]
  return quoted?.replaceAll('""', '"') ?? line.slice(0, line.indexOf(','))
}

const DIGEST_BYTES: Readonly<Record<RecordAlgorithm, number>> = { sha256: 32, sha384: 48, sha512: 64 }

function parseHash(text: string, refuse: (problem: string) => BuildError): RecordRow['hash'] {
  if (text === '') return undefined
  const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? []
  const algorithm = ALGORITHMS.find((known) => known === name)
  if (algorithm === undefined) throw refuse(`the hash must be sha256, sha384 or sha512: \`${text}\``)
  const bare = value.replace(/=+$/, '')
  if (!/^[A-Za-z0-9_-]+$/.test(bare) || Buffer.from(bare, 'base64url').length !== DIGEST_BYTES[algorithm])
    throw refuse(`not a ${algorithm} hash in URL-safe base64: \`${text}\``)
  return { algorithm, value: bare }
}

function* parseCsv(text: string, what: string): Generator<{ fields: string[]; line: number }> {
  let line = 1
  let at = text.startsWith('\uFEFF') ? 1 : 0
  while (at < text.length) {
    const start = line
    const fields: string[] = []
    for (;;) {
      let field: string
      if (text[at] === '"') {
        let value = ''
        for (at++; ; at++) {
          const close = text.indexOf('"', at)
          if (close < 0) throw invalid(what, `RECORD line ${start}: a quoted field has no end`)
          value += text.slice(at, close)
          at = close + 1
          if (text[at] !== '"') break
          value += '"'
        }
        line += value.split('\n').length - 1
        field = value
      } else {
        const from = at
        while (at < text.length && !',\r\n'.includes(text.charAt(at))) at++
        field = text.slice(from, at)
      }
      fields.push(field)
      if (text[at] !== ',') break
      at++
    }
    if (text[at] === '\r') at++
    if (at < text.length && text[at] !== '\n') throw invalid(what, `RECORD line ${start}: text after a quoted field`)
    at++
    line++
    if (fields.length > 1 || fields[0] !== '') yield { fields, line: start }
  }
}

function quote(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}

function invalid(what: string, problem: string): BuildError {
  return new BuildError('WHEEL_INVALID', `${what}: ${problem}`)
}
