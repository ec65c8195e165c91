import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command as Program } from 'commander'
import { describe, expect, it } from 'vitest'
import { COG_FLAGS, defineCogFlags, judgeCogFlags, renderCogCommands } from '../../src/cli/cog-flags.ts'
import { commands } from '../../src/cli/commands/index.ts'
import { runCommandLine } from '../../src/cli/main.ts'
import { isBuildError } from '../../src/core/errors.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import { recordIo } from '../support/output.ts'

/** Notes of a command line, or the hint with which it is refused. */
function judge(command: string, ...args: readonly string[]): readonly string[] {
  const program = new Program(command).exitOverride().configureOutput({ writeErr: () => {} })
  defineCogFlags(program, command)
  program.action(() => {}).parse(args, { from: 'user' })
  const events: ProgressEvent[] = []
  try {
    judgeCogFlags(command, program, (event) => events.push(event))
  } catch (error) {
    if (isBuildError(error, 'NOT_SUPPORTED')) return ['refused', error.hint ?? '']
    throw error
  }
  return events.map((event) => (event.type === 'note' ? event.text : event.type))
}

describe("Cog's flags", () => {
  it('are accepted with a note, or refused with a reason', () => {
    expect(judge('build', '--separate-weights')).toEqual([expect.stringContaining('layers of their own')])
    expect(judge('build', '--no-cache')).toEqual([expect.stringContaining('--refresh')])
    expect(judge('push', '--dockerfile', 'Dockerfile')).toEqual([
      'refused',
      expect.stringContaining('build.base_image'),
    ])
    expect(judge('serve', '--playground', '--playground-port', '9000')).toHaveLength(2)
  })

  it('depend on their value where it matters', () => {
    expect(judge('build', '--use-cuda-base-image=false')).toEqual(['refused', expect.stringContaining('base: slim')])
    expect(judge('build', '--use-cuda-base-image')).toEqual([expect.stringContaining('in any case')])
    expect(judge('build', '--timestamp', '-1')).toEqual([])
    expect(judge('build', '--timestamp', '0')).toEqual(['refused', expect.stringContaining('SOURCE_DATE_EPOCH')])
  })

  it('say nothing when they are not given, and when nothing differs', () => {
    expect(judge('build')).toEqual([])
    expect(judge('build', '--debug')).toEqual([])
  })

  it('belong to commands that exist, and each has a reason', () => {
    const names = commands.map(({ name }) => name)
    expect(COG_FLAGS.flatMap((flag) => flag.commands).filter((name) => !names.includes(name))).toEqual([])
    expect(COG_FLAGS.filter(({ reason }) => !/[.`]$/.test(reason))).toEqual([])
  })

  it('reach the user through the command line', async () => {
    const io = recordIo()
    expect(await runCommandLine(['build', '--dockerfile', 'x', '/nonexistent'], io)).toBe(2)
    expect(io.stderr.text()).toContain('No Dockerfile is read')
  })

  it('are hidden from the help', async () => {
    const io = recordIo()
    expect(await runCommandLine(['build', '--help'], io)).toBe(0)
    expect(io.stdout.text()).not.toContain('--separate-weights')
  })
})

describe('docs/reference/cog-commands.md', () => {
  it('is what the table says; `node tools/reference.mjs` writes it anew', () => {
    expect(readFileSync(join(packageRoot(), 'docs/reference/cog-commands.md'), 'utf8')).toBe(renderCogCommands())
  })
})
