import type { ReportIssue } from './issues.ts'
import { parseEnvironment } from './make-config.ts'
import type { CogYaml } from './schema.ts'

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

/** Variables have a name and a value, once each, and none that the image needs itself. */
export function checkEnvironment(yaml: CogYaml, report: ReportIssue): void {
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
