import { createRequire } from 'node:module'

/**
 * Parses TOML.
 *
 * The parser is loaded when there is something to parse: few machines have such files, and every command passes here.
 *
 * @throws Error for text that is no TOML
 */
export function parseToml(text: string): Record<string, unknown> {
  const { parse } = createRequire(import.meta.url)('smol-toml') as typeof import('smol-toml')
  return parse(text)
}
