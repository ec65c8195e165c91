import type { RunStep, StepMount } from './config.ts'

/** A command, and what the flags before it ask for. */
export interface FlaggedCommand extends RunStep {
  /** What is wrong with the flags, each with a hint. */
  readonly problems: readonly { readonly text: string; readonly hint: string }[]
}

/** One flag at the start, with the white space behind it; a command never begins with two hyphens. */
const FLAG = /^\s*--([a-z]+)(?:=(\S*))?(?:\s+|$)/

const MOUNTS = 'Known are `type=cache` and `type=tmpfs` with a target, and `type=secret` with an id.'

/**
 * Takes the flags of a Dockerfile's `RUN` off a command. With Cog every command becomes such an instruction, so projects write
 * `--mount=type=cache,target=/root/.cache pip install ...`.
 *
 * A cache is an empty folder that is there while the command runs: a step that did not change is not run again.
 *
 * @see https://docs.docker.com/reference/dockerfile/#run---mount
 * @example takeRunFlags('--mount=type=cache,target=/c make').mounts // [{ type: 'cache', target: '/c' }]
 */
export function takeRunFlags(text: string): FlaggedCommand {
  const mounts: StepMount[] = []
  const problems: { text: string; hint: string }[] = []
  let command = text
  for (let match = FLAG.exec(command); match !== null; match = FLAG.exec(command)) {
    const [all, name = '', value] = match
    command = command.slice(all.length)
    if (value === undefined || value === '')
      problems.push({
        text: `The flag \`--${name}\` has no value`,
        hint: 'Write it as `--mount=type=cache,target=/path`.',
      })
    else if (name === 'mount') takeMount(value, mounts, problems)
    else if (!isDefault(name, value))
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

function takeMount(text: string, mounts: StepMount[], problems: { text: string; hint: string }[]): void {
  const options = new Map(
    text.split(',').map((part): [string, string] => {
      const at = part.indexOf('=')
      return at === -1 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)]
    }),
  )
  // As Docker reads it: without a type it is `bind`.
  const type = options.get('type') ?? 'bind'
  const target = options.get('target') ?? options.get('dst') ?? options.get('destination')
  const id = options.get('id')
  const isFilled = options.has('from') || options.has('source') || options.has('src')
  if (target !== undefined && !/^\/./.test(target))
    problems.push({
      text: `The target of a mount is an absolute path: \`${target}\``,
      hint: 'Write it from the root: /...',
    })
  else if ((type === 'cache' || type === 'tmpfs') && target !== undefined && !isFilled)
    mounts.push({ type: 'cache', target })
  else if (type === 'secret' && (id ?? target) !== undefined && !options.has('env')) {
    const name = id ?? target?.slice(target.lastIndexOf('/') + 1) ?? ''
    mounts.push({ type: 'secret', id: name, target: target ?? `/run/secrets/${name}` })
  } else problems.push({ text: `The mount \`${text}\` is not known here`, hint: MOUNTS })
}
