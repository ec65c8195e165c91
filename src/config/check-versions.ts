import type { ReportIssue } from './issues.ts'
import type { CogYaml } from './schema.ts'

const MIN_PYTHON = [3, 10] as const
const MIN_CUDA_MAJOR = 11
const MIN_SDK = [0, 16, 0] as const

/** Versions are not older than what can be built. */
export function checkVersions(yaml: CogYaml, report: ReportIssue): void {
  const { python_version: python, cuda, sdk_version: sdk } = yaml.build ?? {}
  if (python !== undefined && compareParts(numbers(python), MIN_PYTHON) < 0) {
    report(
      'error',
      'unsupported-version',
      ['build', 'python_version'],
      `Python ${MIN_PYTHON.join('.')} or newer is needed: \`${python}\``,
      {
        hint: 'Write "3.11", say; packages that are pinned to versions of that time may need newer ones, too. Cog asks for the same today.',
      },
    )
  }
  if (cuda !== undefined && (numbers(cuda)[0] ?? 0) < MIN_CUDA_MAJOR) {
    report(
      'error',
      'unsupported-version',
      ['build', 'cuda'],
      `CUDA ${MIN_CUDA_MAJOR}.0 or newer is needed: \`${cuda}\``,
      { hint: 'Leave `cuda` out to have the one that goes with the packages. Cog asks for the same today.' },
    )
  }
  if (sdk !== undefined && sdk !== 'prerelease' && compareParts(numbers(sdk), MIN_SDK) < 0) {
    report(
      'error',
      'unsupported-version',
      ['build', 'sdk_version'],
      `The cog package ${MIN_SDK.join('.')} or newer is needed: \`${sdk}\``,
    )
  }
}

function numbers(version: string): readonly number[] {
  return version
    .split(/[^\d]+/)
    .filter((part) => part !== '')
    .map(Number)
}

function compareParts(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < b.length; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** Concurrency needs a Python that has what it takes. */
export function checkConcurrency(yaml: CogYaml, report: ReportIssue): void {
  const python = yaml.build?.python_version
  if (python === undefined || compareParts(numbers(python), [3, 11]) >= 0) return
  const places = [
    { path: ['concurrency', 'max'], max: yaml.concurrency?.max },
    ...Object.entries(yaml.models ?? {}).map(([name, { concurrency }]) => ({
      path: ['models', name, 'concurrency', 'max'],
      max: concurrency?.max,
    })),
  ]
  for (const { path, max = 1 } of places) {
    if (max < 2) continue
    const text = `More than one prediction at once needs Python 3.11 or newer, not ${python}`
    report('error', 'unsupported-version', path, text)
  }
}
