import { BuildError } from '../../core/errors.ts'
import type { PlatformLock } from '../../lock/lock.ts'
import { explain, explainable, type Explanation } from '../../lock/why.ts'
import type { Command } from '../command.ts'
import { defineAnswers, defineProject, planProject } from '../project-options.ts'

/** `layerwright why`: the reason for one choice, or for one package. */
export const command: Command = {
  define(program) {
    program.argument('<key>', 'a choice, such as cuda, base or python, or the name of a package')
    defineAnswers(defineProject(program, 'option')).option('--json', 'print the reasons as JSON')
  },
  async run([key = ''], options, io) {
    const { planned } = await planProject(options['project'] as string, options, io)
    const { lock } = planned
    const answers = lock.platforms.map((platform) => ({ platform: nameOf(platform), reasons: explain(platform, key) }))
    if (answers.every(({ reasons }) => reasons.length === 0)) throw unknownKey(key, lock.platforms)
    io.stdout.write(options['json'] === true ? `${JSON.stringify(answers, undefined, 2)}\n` : renderAnswers(answers))
  },
}

function nameOf({ platform }: PlatformLock): string {
  return `${platform.os}/${platform.architecture}`
}

function unknownKey(key: string, platforms: readonly PlatformLock[]): BuildError {
  const [first] = platforms
  const { nearest, keys } = first === undefined ? { keys: [] } : explainable(first, key)
  const meant = nearest === undefined ? '' : `Did you mean \`${nearest}\`? `
  return new BuildError('USAGE', `The plan has no choice and no package of this name: \`${key}\``, {
    hint: `${meant}Choices: ${keys.join(', ')}.`,
  })
}

/** The reasons as text; platforms are named only where they differ. */
export function renderAnswers(
  answers: readonly { readonly platform: string; readonly reasons: readonly Explanation[] }[],
): string {
  const texts = answers.map(({ platform, reasons }) => ({ platform, text: reasons.map(renderReason).join('\n') }))
  const [first] = texts
  if (first !== undefined && texts.every(({ text }) => text === first.text)) return `${first.text}\n`
  return texts.map(({ platform, text }) => `${platform}\n${text === '' ? 'not there' : text}\n`).join('\n')
}

function renderReason(reason: Explanation): string {
  if (reason.kind === 'choice') {
    const { key, value, reason: why, rejected } = reason.choice
    return [`${key}: ${value}`, `  ${why}`, ...(rejected === undefined ? [] : [`  not ${rejected}`])].join('\n')
  }
  const { name, version, requested, chain, requiredBy } = reason
  const lines = [`${name} ${version}`]
  if (requested) lines.push('  the project names it')
  else if (chain.length > 0) lines.push(`  ${chain.join(' -> ')}`)
  if (requiredBy.length > 0) lines.push(`  required by ${requiredBy.join(', ')}`)
  return lines.join('\n')
}
