import type { ReportIssue } from './issues.ts'
import type { CogYaml } from './schema.ts'

/** `image` and `model` follow the grammar of image references. */
export function checkReferences(yaml: CogYaml, report: ReportIssue): void {
  for (const key of ['model', 'image'] as const) {
    const text = yaml[key]
    if (text === undefined) continue
    const problem = referenceProblem(text)
    if (problem !== undefined)
      report('error', 'invalid-reference', [key], `${problem}: \`${text}\``, { hint: referenceHint(text) })
  }
  if (yaml.model !== undefined && /@|:[^/]*$/.test(yaml.model)) {
    report('error', 'invalid-reference', ['model'], `A repository has no tag and no digest here: \`${yaml.model}\``, {
      // What `run` names now stood here in the first versions of Cog.
      hint: /\.py:\w+$/.test(yaml.model) ? `A class is named by \`run\`: \`run: "${yaml.model}"\`.` : undefined,
    })
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
