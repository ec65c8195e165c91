import type { CheckResult } from '../doctor/check.ts'

const SIGNS: Readonly<Record<CheckResult['status'], string>> = {
  ok: 'ok',
  warning: 'warn',
  error: 'FAIL',
  skipped: '-',
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
