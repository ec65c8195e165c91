import type { ZodType } from 'zod'
import { mistakenPackage } from '../core/package-names.ts'
import { checkEnvironment } from './check-environment.ts'
import { checkPipelines } from './check-pipelines.ts'
import { checkReferences } from './check-references.ts'
import { checkRunFlags } from './check-run-flags.ts'
import { checkSecrets } from './check-secrets.ts'
import { checkConcurrency, checkVersions } from './check-versions.ts'
import { checkWeights } from './check-weights.ts'
import type { ReportIssue } from './issues.ts'
import { cogYamlSchema, type CogYaml } from './schema.ts'
import { packagesOf } from './system-packages.ts'
import type { PathPart } from './tree.ts'

/*
 * What the schema cannot say: rules over two keys, over the members of a list, and over the project's files.
 * Every check looks at data of the right shape and reports; none throws.
 */

/** Checks everything that needs no disk. */
export function checkMeaning(yaml: CogYaml, report: ReportIssue): void {
  for (const check of CHECKS) check(yaml, report)
}

const CHECKS: readonly ((yaml: CogYaml, report: ReportIssue) => void)[] = [
  checkDeprecated,
  checkExclusive,
  checkReferences,
  checkPipelines,
  checkVersions,
  checkGpuKeys,
  checkBase,
  checkAptSources,
  checkPackages,
  checkConcurrency,
  checkEnvironment,
  checkWeights,
  checkTracing,
  checkRuntime,
  checkRunFlags,
  checkSecrets,
]

function checkDeprecated(yaml: CogYaml, report: ReportIssue): void {
  const { shape } = cogYamlSchema
  reportDeprecated(yaml, shape, [], report)
  reportDeprecated(yaml.build ?? {}, shape.build.unwrap().shape, ['build'], report)
  const model = shape.models.unwrap().valueType.shape
  for (const [name, given] of Object.entries(yaml.models ?? {}))
    reportDeprecated(given, model, ['models', name], report)
}

function reportDeprecated(
  given: object,
  shape: Readonly<Record<string, ZodType>>,
  parent: readonly PathPart[],
  report: ReportIssue,
): void {
  for (const key of Object.keys(given)) {
    const meta = shape[key]?.meta()
    if (meta?.deprecated !== true) continue
    const path = [...parent, key]
    const hint = String(meta['replacement'])
    report('warning', 'deprecated-key', path, `\`${path.join('.')}\` is deprecated`, { hint, atKey: true })
  }
}

/** Pairs that cannot stand together, the second one being marked. */
const EXCLUSIVE: readonly (readonly [readonly string[], readonly string[], string])[] = [
  [['run'], ['predict'], '`predict` is the former name of `run`; keep `run`.'],
  [['image'], ['model'], '`model` names the repository of image and weights together; keep one of the two.'],
  [
    ['build', 'python_requirements'],
    ['build', 'python_packages'],
    'Move the lines of `python_packages` into the requirements file.',
  ],
  [['build', 'base_image'], ['build', 'base'], 'An image of your own is the base; remove `base`.'],
]

function checkExclusive(yaml: CogYaml, report: ReportIssue): void {
  for (const [first, second, hint] of EXCLUSIVE) {
    if (!isGiven(yaml, first) || !isGiven(yaml, second)) continue
    report(
      'error',
      'exclusive-keys',
      second,
      `Only one of \`${first.join('.')}\` and \`${second.join('.')}\` may be given`,
      { hint, atKey: true },
    )
  }
}

function isGiven(yaml: CogYaml, path: readonly string[]): boolean {
  let value: unknown = yaml
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return false
    value = Reflect.get(value, part)
  }
  return value !== undefined && !(Array.isArray(value) && value.length === 0) && value !== 'auto'
}

function checkGpuKeys(yaml: CogYaml, report: ReportIssue): void {
  const build = yaml.build ?? {}
  if (build.gpu === true) return
  for (const key of ['cuda', 'cudnn', 'cuda_flavour', 'targets'] as const) {
    if (build[key] === undefined) continue
    report('warning', 'no-effect', ['build', key], `\`build.${key}\` has no effect without \`gpu: true\``, {
      atKey: true,
    })
  }
  if (build.base === 'cuda' || build.base === 'slim') {
    report('error', 'exclusive-keys', ['build', 'base'], `The base \`${build.base}\` needs \`gpu: true\``, {
      hint: 'Set `build.gpu: true`, or use `base: debian`.',
    })
  }
}

function checkAptSources(yaml: CogYaml, report: ReportIssue): void {
  for (const [index, { suite, components = [] }] of (yaml.build?.apt_sources ?? []).entries()) {
    const isFlat = suite.endsWith('/')
    if (isFlat === (components.length === 0)) continue
    const path = ['build', 'apt_sources', index, isFlat ? 'components' : 'suite']
    const text = isFlat ? 'A flat archive has no components' : `Components of \`${suite}\` must be named`
    const hint = isFlat
      ? 'Remove `components`, or name a suite without a final `/`.'
      : 'Add `components: [main]`; the suite of a flat archive ends with `/`.'
    report('error', isFlat ? 'exclusive-keys' : 'missing-key', path, text, { hint })
  }
}

function checkBase(yaml: CogYaml, report: ReportIssue): void {
  const { build = {} } = yaml
  const debianBase =
    build.base === 'debian' || build.base === 'slim' || ((build.base ?? 'auto') === 'auto' && build.gpu !== true)
  if (build.debian !== undefined && (!debianBase || build.base_image !== undefined)) {
    report(
      'warning',
      'no-effect',
      ['build', 'debian'],
      '`build.debian` has an effect with the bases `debian` and `slim` only',
      { atKey: true },
    )
  }
  const cudaBase = build.base === 'cuda' || (build.base ?? 'auto') === 'auto'
  if (build.gpu === true && build.cuda_flavour !== undefined && (!cudaBase || build.base_image !== undefined)) {
    report(
      'warning',
      'no-effect',
      ['build', 'cuda_flavour'],
      '`build.cuda_flavour` has an effect with the base `cuda` only',
      { atKey: true },
    )
  }
  const requirements = build.python_requirements ?? ''
  for (const key of ['extras', 'groups'] as const) {
    if ((build[key] ?? []).length === 0 || /\.(toml|lock)$/.test(requirements)) continue
    report(
      'warning',
      'no-effect',
      ['build', key],
      `\`build.${key}\` has an effect with a \`pyproject.toml\` or lock in \`python_requirements\` only`,
      { atKey: true },
    )
  }
}

const PACKAGE = /^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?(\/[a-z-]+)?$/

function checkPackages(yaml: CogYaml, report: ReportIssue): void {
  const { system_packages: system = [], python_packages: python = [] } = yaml.build ?? {}
  for (const [index, entry] of system.entries()) {
    const name = packagesOf(entry).find((name) => !PACKAGE.test(name))
    if (name === undefined) continue
    report(
      'error',
      'invalid-value',
      ['build', 'system_packages', index],
      `This is not the name of a Debian package: \`${name}\``,
      {
        hint: 'One package a line: lower-case letters, digits, `+`, `.` and `-`, with `=VERSION` after it if need be.',
      },
    )
  }
  for (const [index, line] of python.entries()) {
    const name =
      /^\s*([A-Za-z0-9][\w.-]*)/
        .exec(line)?.[1]
        ?.toLowerCase()
        .replaceAll(/[-_.]+/g, '-') ?? ''
    const meant = mistakenPackage(name)
    if (meant === undefined) continue
    report(
      'warning',
      'package-name',
      ['build', 'python_packages', index],
      `The package that people mean by \`${name}\` is named \`${meant}\``,
      { suggestion: meant },
    )
  }
}

function checkTracing({ observability, runtime }: CogYaml, report: ReportIssue): void {
  const { traces, config } = observability ?? {}
  const noEffect = (path: readonly string[], reason: string): void => {
    report('warning', 'no-effect', path, `\`${path.join('.')}\` has no effect${reason}`, { atKey: true })
  }
  if (traces?.sampler_arg !== undefined && traces.sampler?.includes('ratio') !== true) {
    noEffect(['observability', 'traces', 'sampler_arg'], ': `sampler` takes no share')
  }
  if (traces?.trace_header_format !== undefined && traces.trace_header === undefined) {
    noEffect(['observability', 'traces', 'trace_header_format'], ' without `trace_header`')
  }
  if (config === undefined) return
  if (traces?.enabled !== true) noEffect(['observability', 'config'], ' without `traces.enabled`')
  else if (runtime === 'coglet') noEffect(['observability', 'config'], ' with `runtime: coglet`')
}

function checkRuntime(yaml: CogYaml, report: ReportIssue): void {
  if (yaml.batch !== undefined && yaml.runtime === 'coglet') {
    report(
      'warning',
      'no-effect',
      ['batch'],
      "`batch` has no effect with `runtime: coglet`: Cog's server gathers nothing",
      {
        atKey: true,
      },
    )
  }
  if (yaml.build?.sdk_version === undefined || yaml.runtime === 'coglet') return
  report(
    'warning',
    'no-effect',
    ['build', 'sdk_version'],
    '`build.sdk_version` has an effect with `runtime: coglet` only',
    { atKey: true },
  )
}
