import type { CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'

/** A key, or a value of a key, that is known but cannot be built yet. */
export interface Unsupported {
  readonly path: readonly PathPart[]
  /** Names what is missing, as the start of "... is not supported yet". */
  readonly what: string
  readonly hint?: string
}

/**
 * Everything in a cog.yaml that this version knows but cannot do: each is an error, never ignored.
 *
 * The one place to edit when an ability arrives.
 */
export function findUnsupported(yaml: CogYaml): readonly Unsupported[] {
  const found: Unsupported[] = []
  const { python_requirements: requirements = '', system_site_packages: site } = yaml.build ?? {}
  if (requirements.endsWith('.lock') && !/(^|\/)uv\.lock$/.test(requirements)) {
    found.push({
      path: ['build', 'python_requirements'],
      what: 'The lock of another tool than uv',
      hint: 'Export it as `pylock.toml` (PEP 751) or as a requirements file with hashes.',
    })
  }
  if (site === true && yaml.build?.base_image === undefined && yaml.build?.base !== 'python-slim') {
    found.push({
      path: ['build', 'system_site_packages'],
      what: '`build.system_site_packages` on a base that is composed here',
      hint: 'It is for an image that holds packages already: name it in `build.base_image`.',
    })
  }
  return found
}
