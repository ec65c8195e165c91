/** One stanza of a control file: field names in lower case, values without the leading blank, lines joined by `\n`. */
export type Stanza = ReadonlyMap<string, string>

/**
 * Parses control data (deb822): stanzas apart by empty lines, continuation lines start with a blank.
 *
 * A value of several lines keeps them as they are, without the one blank that leads each.
 *
 * @throws RangeError on a line that is neither field, continuation, comment nor empty, or on a repeated field
 * @see Debian Policy 5.1; deb822(5)
 */
export function parseDeb822(text: string): Stanza[] {
  const stanzas: Stanza[] = []
  let current = new Map<string, string>()
  let field = ''
  const flush = (): void => {
    if (current.size > 0) stanzas.push(current)
    current = new Map()
    field = ''
  }
  for (const rawLine of text.split('\n')) {
    const line = rawLine.endsWith('\r') ? rawLine.slice(0, -1) : rawLine
    if (line.startsWith('#')) continue
    if (line.trim() === '') {
      flush()
      continue
    }
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (field === '') throw new RangeError(`A continuation line without a field: ${line.slice(0, 80)}`)
      current.set(field, `${current.get(field) ?? ''}\n${line.slice(1)}`)
      continue
    }
    const colon = line.indexOf(':')
    if (colon <= 0) throw new RangeError(`Not a field: ${line.slice(0, 80)}`)
    field = line.slice(0, colon).toLowerCase()
    if (current.has(field)) throw new RangeError(`The field ${field} stands twice in one stanza`)
    current.set(field, line.slice(colon + 1).trim())
  }
  flush()
  return stanzas
}

/**
 * Parses text that must hold exactly one stanza, such as the `control` file of a package.
 *
 * @throws RangeError when there is none, or more
 */
export function parseStanza(text: string): Stanza {
  const stanzas = parseDeb822(text)
  const [first] = stanzas
  if (first === undefined || stanzas.length !== 1) throw new RangeError(`${stanzas.length} stanzas instead of one`)
  return first
}
