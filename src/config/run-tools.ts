import type { RunStep } from './config.ts'

/** Programs that Cog's images have and that commands often call, with the package that brings each. */
const TOOLS: readonly { readonly words: readonly string[]; readonly package: string }[] = [
  { words: ['curl'], package: 'curl' },
  { words: ['wget'], package: 'wget' },
  { words: ['git'], package: 'git' },
  { words: ['xz', 'unxz'], package: 'xz-utils' },
  { words: ['make', 'gcc', 'g++', 'cc', 'c++'], package: 'build-essential' },
]

/** Between the words of a shell's command line; `git+https:` calls git, `x.git` and `/curl/` call nobody. */
const BETWEEN_WORDS = /[\s;&|(){}<>$`"'=@]+/

/**
 * Packages with the programs that commands name and that the smallest base would lack, in a fixed order.
 *
 * Cog's bases hold these programs for its own use, so projects call them without asking for them.
 *
 * @example runTools([{ command: 'curl -o /a https://example.com', mounts: [] }]) // ['curl']
 */
export function runTools(steps: readonly RunStep[]): readonly string[] {
  const words = new Set(
    steps.flatMap(({ command }) =>
      command.split(BETWEEN_WORDS).map((word) => (word.startsWith('git+') ? 'git' : word)),
    ),
  )
  return TOOLS.flatMap((tool) => (tool.words.some((word) => words.has(word)) ? [tool.package] : []))
}
