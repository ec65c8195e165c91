/**
 * Reads the part of Python's configuration files that pip uses: sections, `key = value`, indented continuations.
 *
 * @returns section to key to value; keys in lower case with `-`, the lines of a value joined by line feeds
 */
export function parseIni(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const sections = new Map<string, Map<string, string>>()
  let section = new Map<string, string>()
  let key: string | undefined
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue
    const name = /^\[([^\]]+)\]/.exec(line)?.[1]?.trim().toLowerCase()
    const entry = /^([^\s=:][^=:]*)[=:](.*)$/.exec(line)
    if (name !== undefined) {
      section = sections.get(name) ?? new Map<string, string>()
      sections.set(name, section)
      key = undefined
    } else if (/^\s/.test(line) && key !== undefined) {
      section.set(key, `${section.get(key) ?? ''}\n${line.trim()}`)
    } else if (entry !== null) {
      key = (entry[1] ?? '').trim().toLowerCase().replaceAll('_', '-')
      section.set(key, (entry[2] ?? '').trim())
    }
  }
  return sections
}
