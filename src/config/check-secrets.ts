import type { ReportIssue } from './issues.ts'
import type { CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'

/** User or password before a host; a shell variable holds none yet, and the user of an ssh address is no secret. */
const CREDENTIALS = /(?<=(?<!ssh):\/\/)[^\s/'"`$]+@/

/** Warns of passwords in addresses: the file lies in the image, with the project. */
export function checkSecrets(yaml: CogYaml, report: ReportIssue): void {
  for (const [path, text, hint] of addressesOf(yaml)) {
    if (CREDENTIALS.test(text))
      report('warning', 'secret-in-file', path, 'An address holds a password, and this file is part of the image', {
        hint,
      })
  }
}

const FOR_INDEX = 'Put it into netrc, or name the index in UV_INDEX_URL, PIP_INDEX_URL or one of their kind.'
const FOR_STEP = 'Give it to the step as a secret: `mounts` with `type: secret`, and --secret.'

function* addressesOf({ build }: CogYaml): Generator<readonly [readonly PathPart[], string, string]> {
  for (const [index, text] of (build?.python_packages ?? []).entries())
    yield [['build', 'python_packages', index], text, FOR_INDEX]
  const { url, extra_urls: extraUrls = [], packages = {} } = build?.python_index ?? {}
  if (url !== undefined) yield [['build', 'python_index', 'url'], url, FOR_INDEX]
  for (const [index, text] of extraUrls.entries())
    yield [['build', 'python_index', 'extra_urls', index], text, FOR_INDEX]
  for (const [name, text] of Object.entries(packages))
    yield [['build', 'python_index', 'packages', name], text, FOR_INDEX]
  for (const [index, step] of (build?.run ?? []).entries())
    yield [['build', 'run', index], typeof step === 'string' ? step : step.command, FOR_STEP]
}
