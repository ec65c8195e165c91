/** One fenced block of a Markdown page. */
export interface CodeBlock {
  /** The word after the fence: `sh`, `yaml`, ... */
  readonly language: string
  /** Words after the language, such as `file=cog.yaml` or `norun`. */
  readonly marks: readonly string[]
  readonly text: string
  /** Of the opening fence, from 1. */
  readonly line: number
}

/** The fenced blocks of a page, in order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  const lines = markdown.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const fence = /^\s*```(\S*)\s*(.*)$/.exec(lines[at] ?? '')
    if (fence === null) continue
    const end = lines.findIndex((line, index) => index > at && /^\s*```\s*$/.test(line))
    if (end === -1) throw new RangeError(`The block that begins at line ${at + 1} has no end`)
    const marks = (fence[2] ?? '').split(/\s+/).filter((mark) => mark !== '')
    blocks.push({ language: fence[1] ?? '', marks, text: lines.slice(at + 1, end).join('\n'), line: at + 1 })
    at = end
  }
  return blocks
}
