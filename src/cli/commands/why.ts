import { resolve } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import type { PlatformLock } from '../../lock/lock.ts'
import { explain, explainable, type Explanation } from '../../lock/why.ts'
import type { Command } from '../command.ts'

/** `layerwright why`: the reason for one choice, or for one package. */
export const command: Command = {
  define(program) {
    program
      .argument('<key>', 'a choice, such as cuda, base or python, or the name of a package')
      .option('-C, --project <folder>', 'folder of the project, or its cog.yaml', '.')
      .option('--locked', 'use the lock file and ask nobody')
      .option('--json', 'print the reasons as JSON')
  },
  async run([key = ''], options, io) {
    const [{ openWorld }, { planBuild }] = await Promise.all([import('../world.ts'), import('../../build.ts')])
    const world = await openWorld(io)
    const mode = options['locked'] === true ? 'locked' : 'auto'
    const project = resolve(io.cwd, String(options['project']))
    const { lock } = await planBuild({ project, mode, format: 'oci' }, world.context)
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
