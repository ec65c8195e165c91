import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command as Program } from 'commander'
import { describe, expect, it, onTestFinished } from 'vitest'
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

  it('are taken by every command that has them in Cog', async () => {
    const lines: readonly (readonly string[])[] = [
      [
        'build',
        '-f',
        'cog.yaml',
        '--no-cache',
        '--progress',
        'quiet',
        '--secret',
        'id=a,src=b',
        '-t',
        'x',
        '/nonexistent',
      ],
      ['push', 'x', '--separate-weights', '--use-cog-base-image=false', '-f', 'none.yaml'],
      [
        'run',
        '-e',
        'A=b',
        '-f',
        'none.yaml',
        '--gpus',
        'none',
        '-i',
        'a=b',
        '--json',
        '{}',
        '-o',
        'x',
        '--setup-timeout',
        '9',
      ],
      ['predict', '--no-color', '--use-cog-base-image', '-f', 'none.yaml'],
      ['serve', '-f', 'none.yaml', '--host', '127.0.0.1', '--playground', '--playground-port', '9000', '-p', '8393'],
      ['exec', '-e', 'A=b', '-f', 'none.yaml', '--gpus', 'none', '-p', '80', '--', 'ls'],
      ['train', '-e', 'A=b', '-i', 'a=b', '-o', 'weights', '-f', 'none.yaml'],
      ['weights', 'import', '--dry-run', '-v', '-f', 'none.yaml'],
      ['weights', 'status', '--json', '-v', '-f', 'none.yaml'],
      ['debug', '--image-name', 'x', '-f', 'none.yaml'],
      ['--debug', '--no-color', 'doctor', '--bad'],
    ]
    const folder = mkdtempSync(join(tmpdir(), 'cog-flags-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    for (const line of lines) {
      const io = recordIo({ cwd: folder, env: { LAYERWRIGHT_CACHE: join(folder, 'store'), HOME: folder } })
      await runCommandLine(line, io)
      const text = io.stderr.text()
      // What fails is the project that is not there, and for `doctor` the one option that nobody knows.
      expect([line.join(' '), /unknown option|missing|too many/.exec(text)?.[0]]).toEqual([
        line.join(' '),
        line.includes('--bad') ? 'unknown option' : undefined,
      ])
    }
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
