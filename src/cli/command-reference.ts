import { Command as Program, type Argument, type Option } from 'commander'
import type { CommandEntry } from './command.ts'
import { commands } from './commands/index.ts'

/** Groups in the order of the help. */
const GROUPS: readonly CommandEntry['group'][] = ['Build', 'Run', 'Look', 'Move', 'Set up']

/** The page about every command with its arguments and options as Markdown. */
export async function renderCommandReference(): Promise<string> {
  const parts = [
    `# Commands

<!-- Made from the table of commands by tools/reference.mjs; a test fails when it is stale. -->

\`layerwright <command> --help\` says the same. Every command takes \`--progress auto|tty|plain|json|none\` and \`-q, --quiet\`
(see [progress](progress.md)); the result goes to standard output, everything else to standard error, and what an exit status
means is [a page of its own](exit-status.md). Settings that are no options are in [environment variables](environment.md).
Cog's flags are accepted too: [Cog's commands and flags](cog-commands.md).
`,
  ]
  for (const group of GROUPS) {
    parts.push(`## ${group}\n`)
    for (const entry of commands) if (entry.group === group) parts.push(...(await renderCommand(entry, [])))
  }
  return parts.join('\n')
}

async function renderCommand(entry: CommandEntry, above: readonly string[]): Promise<readonly string[]> {
  const { command } = await entry.load()
  const path = [...above, entry.name]
  const below = (command.subcommands ?? []).map((sub) => renderCommand(sub, path))
  const nested = (await Promise.all(below)).flat()
  if (command.subcommands !== undefined && command.runsItself !== true) return nested
  const program = new Program(entry.name)
  command.define(program)
  return [renderPage(path, entry, program), ...nested]
}

function renderPage(path: readonly string[], { summary, aliases = [] }: CommandEntry, program: Program): string {
  const args = program.registeredArguments
  const options = program.options.filter(({ hidden }) => !hidden)
  const title = ['layerwright', ...path, ...args.map(formatArgument)].join(' ')
  const also = aliases.length === 0 ? '' : ` Also \`${aliases.join('`, `')}\`.`
  const rows = [
    ...args.map((argument) => [formatArgument(argument), describe(argument)]),
    ...options.map((option) => [option.flags, describe(option)]),
  ]
  const table = rows.map(([name, text]) => `| \`${name}\` | ${text} |`).join('\n')
  return `### \`${title}\`\n\n${capitalise(summary)}.${also}\n${rows.length === 0 ? '' : `\n| | |\n|---|---|\n${table}\n`}`
}

function formatArgument(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${name}>` : `[${name}]`
}

/** The description with choices and default, as far as these say something. */
function describe(item: Argument | Option): string {
  const { description, argChoices, defaultValue } = item
  const facts = [
    ...(argChoices === undefined ? [] : [argChoices.map((choice) => `\`${choice}\``).join(', ')]),
    ...(typeof defaultValue === 'string' && defaultValue !== '' ? [`default \`${defaultValue}\``] : []),
  ]
  // A bar in a table is a column.
  return `${description}${facts.length === 0 ? '' : ` (${facts.join('; ')})`}`.replaceAll('|', '\\|')
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
