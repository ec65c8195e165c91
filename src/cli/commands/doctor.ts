import { resolve } from 'node:path'
import type { CheckResult } from '../../doctor/check.ts'
import type { Command } from '../command.ts'

const SIGNS: Readonly<Record<CheckResult['status'], string>> = {
  ok: 'ok',
  warning: 'warn',
  error: 'FAIL',
  skipped: '-',
}

/** `layerwright doctor`: looks at the machine, the network, the GPUs and the project. Status 1 when a check fails. */
export const command: Command = {
  subcommands: [
    {
      name: 'registry',
      group: 'Set up',
      summary: 'show how a registry is reached, and where that was said',
      load: () => import('./doctor-registry.ts'),
    },
  ],
  runsItself: true,
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml', '.')
      .option('--fix', 'put right what can be put right without harm')
      .option('--offline', 'ask nobody outside this machine')
      .option('--json', 'print the results as JSON')
  },
  async run([project = '.'], options, io) {
    const { examine, hasErrors } = await import('../../doctor/doctor.ts')
    const results = await examine({
      folder: resolve(io.cwd, project),
      env: io.env,
      fix: options['fix'] === true,
      offline: options['offline'] === true,
      signal: io.signal,
    })
    io.stdout.write(
      options['json'] === true ? `${JSON.stringify({ checks: results }, undefined, 2)}\n` : renderResults(results),
    )
    return hasErrors(results) ? 1 : 0
  },
}

/** The results as a page: a line for each check, its remedy below it, and the sum at the end. */
export function renderResults(results: readonly CheckResult[]): string {
  const width = Math.max(...results.map(({ title }) => title.length))
  const lines: string[] = []
  let group: string | undefined
  for (const result of results) {
    if (result.group !== group) lines.push(...(group === undefined ? [] : ['']), result.group)
    group = result.group
    lines.push(`  ${SIGNS[result.status].padEnd(4)}  ${result.title.padEnd(width)}  ${result.message}`)
    if (result.remedy !== undefined && result.fixed === undefined)
      lines.push(`  ${' '.repeat(6 + width)}  -> ${result.remedy}`)
    if (result.fixed !== undefined) lines.push(`  ${' '.repeat(6 + width)}  fixed: ${result.fixed}`)
  }
  const count = (status: CheckResult['status']): number => results.filter((result) => result.status === status).length
  lines.push(
    '',
    `${count('ok')} ok, ${count('warning')} warnings, ${count('error')} errors, ${count('skipped')} skipped`,
  )
  return `${lines.join('\n')}\n`
}
