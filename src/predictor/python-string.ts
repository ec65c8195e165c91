const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\n': '',
}

/** Resolves the escapes of a Python string; names (`\N{...}`) are left as they are. */
export function unescapePython(text: string): string {
  return text.replaceAll(
    /\\(\r?\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])/g,
    (whole, escape: string) => {
      if (escape === '\r\n') return ''
      if (/^[0-7]/.test(escape)) return String.fromCodePoint(Number.parseInt(escape, 8))
      if (/^[xuU]./.test(escape)) {
        const code = Number.parseInt(escape.slice(1), 16)
        return code > 0x10ffff ? whole : String.fromCodePoint(code)
      }
      return ESCAPES[escape] ?? whole
    },
  )
}
