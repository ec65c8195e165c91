import type { RunStep, StepMount } from './config.ts'
import { readMountFlag, type FlagProblem } from './mount-flag.ts'

/** A command, and what the flags before it ask for. */
export interface FlaggedCommand extends RunStep {
  /** What is wrong with the flags, each with a hint. */
  readonly problems: readonly FlagProblem[]
}

/** One flag at the start, with the white space behind it; a command never begins with two hyphens. */
const FLAG = /^\s*--([a-z]+)(?:=(\S*))?(?:\s+|$)/

/**
 * Takes the flags of a Dockerfile's `RUN` off a command. With Cog every command becomes such an instruction, so projects write
 * `--mount=type=cache,target=/root/.cache pip install ...`.
 *
 * @see https://docs.docker.com/reference/dockerfile/#run---mount
 * @example takeRunFlags('--mount=type=cache,target=/c make').mounts // [{ type: 'cache', target: '/c' }]
 */
export function takeRunFlags(text: string): FlaggedCommand {
  const mounts: StepMount[] = []
  const problems: FlagProblem[] = []
  let command = text
  for (let match = FLAG.exec(command); match !== null; match = FLAG.exec(command)) {
    const [all, name = '', value] = match
    command = command.slice(all.length)
    if (value === undefined || value === '')
      problems.push({
        text: `The flag \`--${name}\` has no value`,
        hint: 'Write it as `--mount=type=cache,target=/path`.',
      })
    else if (name === 'mount') {
      const read = readMountFlag(value)
      if ('type' in read) mounts.push(read)
      else problems.push(read)
    } else if (!isDefault(name, value))
      problems.push({
        text: `The flag \`--${name}=${value}\` of a Dockerfile is not known here`,
        hint:
          name === 'network'
            ? 'Build with --network none: it holds for all commands.'
            : 'Remove it; `--mount` is understood.',
      })
  }
  if (command.trim() === '')
    problems.push({ text: 'There are flags, but no command behind them', hint: 'Put the command behind the flags.' })
  return { command, mounts, problems }
}

/** What a Dockerfile does without the flag. */
function isDefault(name: string, value: string): boolean {
  return (
    (name === 'network' && (value === 'default' || value === 'host')) || (name === 'security' && value === 'sandbox')
  )
}
