/** A line longer than this is passed on in pieces, in characters. */
const LONGEST_LINE = 65_536

/**
 * Gives what a program prints in whole lines, as they come, so that neither a line nor a character is torn where the pipe's
 * reads happen to end.
 *
 * @param stream  text in UTF-8; what is not becomes U+FFFD
 * @yields one or more lines with their ends; only the last text may have none
 */
export async function* wholeLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let kept = ''
  for await (const chunk of stream) {
    const text = kept + decoder.decode(chunk, { stream: true })
    const end = text.length > LONGEST_LINE ? text.length : text.lastIndexOf('\n') + 1
    if (end > 0) yield text.slice(0, end)
    kept = text.slice(end)
  }
  const rest = kept + decoder.decode()
  if (rest !== '') yield rest
}
