import { readdir, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize } from 'node:path'
import { nearest } from '../core/suggest.ts'
import type { ReportIssue } from './issues.ts'
import { parseEnvironment } from './make-config.ts'
import { cogYamlSchema, type CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'

/*
 * What the schema cannot say: rules over two keys, over the members of a list, and over the project's files.
 * Every check looks at data of the right shape and reports; none throws.
 */

const MIN_PYTHON = [3, 10] as const
const MIN_CUDA_MAJOR = 11
const MIN_SDK = [0, 16, 0] as const

/** Checks everything that needs no disk. */
export function checkMeaning(yaml: CogYaml, report: ReportIssue): void {
  for (const check of CHECKS) check(yaml, report)
}

const CHECKS: readonly ((yaml: CogYaml, report: ReportIssue) => void)[] = [
  checkDeprecated,
  checkExclusive,
  checkModel,
  checkVersions,
  checkGpuKeys,
  checkBase,
  checkPackages,
  checkConcurrency,
  checkEnvironment,
  checkWeights,
  checkRuntime,
]

function checkDeprecated(yaml: CogYaml, report: ReportIssue): void {
  const { build, ...top } = yaml
  const buildShape = cogYamlSchema.shape.build.unwrap().shape
  const given: [readonly PathPart[], { meta(): Record<string, unknown> | undefined } | undefined][] = [
    ...Object.keys(top).map((key): [readonly PathPart[], (typeof given)[0][1]] => [
      [key],
      member(cogYamlSchema.shape, key),
    ]),
    ...Object.keys(build ?? {}).map((key): [readonly PathPart[], (typeof given)[0][1]] => [
      ['build', key],
      member(buildShape, key),
    ]),
  ]
  for (const [path, schema] of given) {
    const meta = schema?.meta()
    if (meta?.['deprecated'] !== true) continue
    report('warning', 'deprecated-key', path, `\`${path.join('.')}\` is deprecated`, {
      hint: String(meta['replacement']),
      atKey: true,
    })
  }
}

function member<T>(shape: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(shape, key) ? shape[key] : undefined
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

function checkModel(yaml: CogYaml, report: ReportIssue): void {
  for (const key of ['model', 'image'] as const) {
    const text = yaml[key]
    if (text === undefined) continue
    const problem = referenceProblem(text)
    if (problem !== undefined)
      report('error', 'invalid-reference', [key], `${problem}: \`${text}\``, { hint: referenceHint(text) })
  }
  if (yaml.model !== undefined && /@|:[^/]*$/.test(yaml.model)) {
    report('error', 'invalid-reference', ['model'], `A repository has no tag and no digest here: \`${yaml.model}\``)
  }
}

const DOMAIN = /^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(:\d+)?$/
const COMPONENT = /^[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*$/

function referenceProblem(text: string): string | undefined {
  const [, path = '', , tag] = /^([^@]+?)(:([^/:@]*))?(@.*)?$/.exec(text) ?? []
  if (path === '') return 'This is not an image name'
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) return 'This tag has characters that tags cannot have'
  const parts = path.split('/')
  const hasDomain = parts.length > 1 && /[.:]|^localhost$/.test(parts[0] ?? '')
  if (hasDomain && !DOMAIN.test(parts[0] ?? '')) return 'This registry is not a host name'
  return parts.slice(hasDomain ? 1 : 0).every((part) => COMPONENT.test(part)) ? undefined : 'This is not an image name'
}

function referenceHint(text: string): string {
  return /[A-Z]/.test(text)
    ? 'Image names are lower case.'
    : 'Image names are made of lower-case letters and digits, joined by one of `.`, `_`, `-` and `/`, with a tag after `:`.'
}

function checkVersions(yaml: CogYaml, report: ReportIssue): void {
  const { python_version: python, cuda, sdk_version: sdk } = yaml.build ?? {}
  if (python !== undefined && compareParts(numbers(python), MIN_PYTHON) < 0) {
    report(
      'error',
      'unsupported-version',
      ['build', 'python_version'],
      `Python ${MIN_PYTHON.join('.')} or newer is needed: \`${python}\``,
      {
        hint: `The server in the image runs on Python 3.10 and newer.`,
      },
    )
  }
  if (cuda !== undefined && (numbers(cuda)[0] ?? 0) < MIN_CUDA_MAJOR) {
    report(
      'error',
      'unsupported-version',
      ['build', 'cuda'],
      `CUDA ${MIN_CUDA_MAJOR}.0 or newer is needed: \`${cuda}\``,
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

/** Names under which a package is imported or once was published, and the one that is meant. */
const MISTAKEN_NAMES: Readonly<Record<string, string>> = {
  sklearn: 'scikit-learn',
  cv2: 'opencv-python-headless',
  pil: 'pillow',
  yaml: 'pyyaml',
  skimage: 'scikit-image',
  bs4: 'beautifulsoup4',
  'tensorflow-gpu': 'tensorflow',
  'torch-gpu': 'torch',
  pytorch: 'torch',
}

function checkPackages(yaml: CogYaml, report: ReportIssue): void {
  const { system_packages: system = [], python_packages: python = [] } = yaml.build ?? {}
  for (const [index, name] of system.entries()) {
    if (PACKAGE.test(name)) continue
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
    const meant = MISTAKEN_NAMES[name]
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

function checkConcurrency(yaml: CogYaml, report: ReportIssue): void {
  const python = yaml.build?.python_version
  if ((yaml.concurrency?.max ?? 1) > 1 && python !== undefined && compareParts(numbers(python), [3, 11]) < 0) {
    report(
      'error',
      'unsupported-version',
      ['concurrency', 'max'],
      `More than one prediction at once needs Python 3.11 or newer, not ${python}`,
    )
  }
}

const RESERVED = [
  'PATH',
  'LD_LIBRARY_PATH',
  'PYTHONPATH',
  'VIRTUAL_ENV',
  'PYTHONUNBUFFERED',
  'LIBRARY_PATH',
  'HF_ENDPOINT',
  'HF_HUB_ENABLE_HF_TRANSFER',
  'R8_*',
  'REPLICATE_*',
  'CUDA_*',
  'NVIDIA_*',
  'NV_*',
  'PGET_*',
  'KUBERNETES_*',
]

function checkEnvironment(yaml: CogYaml, report: ReportIssue): void {
  const seen = new Set<string>()
  for (const [index, text] of (yaml.environment ?? []).entries()) {
    const path = ['environment', index]
    if (!/^[A-Za-z_][A-Za-z0-9_]*=[^\0]*$/.test(text)) {
      report(
        'error',
        'invalid-value',
        path,
        `An environment variable is written \`NAME=value\`, with a name of letters, digits and \`_\`: \`${text.split('=', 1)[0]}\``,
      )
      continue
    }
    const { name } = parseEnvironment(text)
    if (seen.has(name))
      report('error', 'duplicate-variable', path, `The environment variable \`${name}\` is given twice`)
    seen.add(name)
    const rule = RESERVED.find((rule) => (rule.endsWith('*') ? name.startsWith(rule.slice(0, -1)) : name === rule))
    if (rule === undefined) continue
    report(
      'error',
      'reserved-variable',
      path,
      `The environment variable \`${name}\` cannot be set here${rule === name ? '' : ` (\`${rule}\` is reserved)`}`,
      {
        hint: 'The image sets it itself, or the platform does when the container starts.',
      },
    )
  }
}

function checkWeights(yaml: CogYaml, report: ReportIssue): void {
  const names = new Set<string>()
  const targets: string[] = []
  for (const [index, weight] of (yaml.weights ?? []).entries()) {
    const path = ['weights', index]
    if (names.has(weight.name))
      report('error', 'duplicate-weights', [...path, 'name'], `Two entries are named \`${weight.name}\``)
    names.add(weight.name)
    const target = normalize(weight.target).replace(/\/+$/, '')
    if (target === '')
      report('error', 'invalid-value', [...path, 'target'], 'Weights cannot take the place of the root folder')
    const other = targets.find(
      (other) => other === target || other.startsWith(`${target}/`) || target.startsWith(`${other}/`),
    )
    if (other !== undefined)
      report(
        'error',
        'duplicate-weights',
        [...path, 'target'],
        `This folder is the same as, within, or around another entry's: \`${other}\``,
      )
    targets.push(target)
    checkWeightSources(weight, path, report)
  }
}

function checkWeightSources(
  weight: NonNullable<CogYaml['weights']>[number],
  path: readonly PathPart[],
  report: ReportIssue,
): void {
  const many = Array.isArray(weight.source)
  for (const [index, source] of (Array.isArray(weight.source) ? weight.source : [weight.source]).entries()) {
    const at = [...path, 'source', ...(many ? [index] : [])]
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(source.uri)?.[1]
    if (scheme !== undefined && !['hf', 'file', 'https'].includes(scheme)) {
      report('error', 'invalid-value', [...at, 'uri'], `Weights do not come by \`${scheme}://\``, {
        hint: 'Use hf://, https://, file:// or a path.',
        suggestion: nearest(scheme, ['hf', 'file', 'https']),
      })
    }
    for (const key of ['include', 'exclude'] as const) {
      for (const [position, pattern] of (source[key] ?? []).entries()) {
        if (!/^!|\\/.test(pattern)) continue
        report(
          'error',
          'invalid-value',
          [...at, key, position],
          `A pattern has no \`!\` at its start and no backslash: \`${pattern}\``,
        )
      }
    }
  }
}

function checkRuntime(yaml: CogYaml, report: ReportIssue): void {
  if (yaml.build?.sdk_version === undefined || yaml.runtime === 'coglet') return
  report(
    'warning',
    'no-effect',
    ['build', 'sdk_version'],
    '`build.sdk_version` has an effect with `runtime: coglet` only',
    { atKey: true },
  )
}

/** Checks that the files which the configuration names are there. */
export async function checkFiles(yaml: CogYaml, projectFolder: string, report: ReportIssue): Promise<void> {
  for (const key of ['run', 'predict', 'train'] as const) {
    const pointer = yaml[key]
    if (pointer === undefined) continue
    const file = pointer.slice(0, pointer.lastIndexOf(':'))
    if (isAbsolute(file) || normalize(file).startsWith('..')) {
      report('error', 'file-outside', [key], `The file must lie in the project folder: \`${file}\``)
    } else await checkFile(file, [key], projectFolder, report, '.py')
  }
  const requirements = yaml.build?.python_requirements
  if (requirements !== undefined) {
    await checkFile(requirements, ['build', 'python_requirements'], projectFolder, report, '')
  }
  for (const [index, source] of (yaml.build?.apt_sources ?? []).entries()) {
    await checkFile(source.key, ['build', 'apt_sources', index, 'key'], projectFolder, report, '')
  }
}

async function checkFile(
  file: string,
  path: readonly PathPart[],
  projectFolder: string,
  report: ReportIssue,
  ending: string,
): Promise<void> {
  const absolute = isAbsolute(file) ? file : join(projectFolder, file)
  const found = await stat(absolute).catch(() => undefined)
  if (found?.isFile() === true) return
  if (found !== undefined) return report('error', 'file-missing', path, `This is not a file: \`${file}\``)
  const beside = await readdir(dirname(absolute)).catch(() => [])
  const folder = file.slice(0, file.lastIndexOf('/') + 1)
  const suggestion = nearest(
    file.slice(folder.length),
    beside.filter((name) => name.endsWith(ending)),
  )
  report('error', 'file-missing', path, `There is no file \`${file}\` in the project`, {
    suggestion: suggestion === undefined ? undefined : `${folder}${suggestion}`,
  })
}
