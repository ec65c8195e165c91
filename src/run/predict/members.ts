import type { ImageConfig } from 'oci-spec-types'
import { BuildError } from '../../core/errors.ts'
import { nearest } from '../../core/suggest.ts'

/** The models and pipelines of an image. */
export interface Members {
  /** The one that is served at `/predictions`. */
  readonly default: string
  readonly models: readonly string[]
  readonly pipelines: readonly string[]
}

/** The label that names them. */
export const MEMBERS_LABEL = 'run.layerwright.models'

/** What the label of an image says; undefined for an image of one model, or where the label says something else. */
export function membersOf(config: ImageConfig['config']): Members | undefined {
  const text = config?.Labels?.[MEMBERS_LABEL]
  if (text === undefined) return undefined
  try {
    const { default: byDefault, models, pipelines } = (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>
    return typeof byDefault === 'string' && isNames(models) && isNames(pipelines)
      ? { default: byDefault, models, pipelines }
      : undefined
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    // A label of somebody else's making.
    return undefined
  }
}

/** Names them on one line, the default first. */
export function describeMembers({ default: byDefault, models, pipelines }: Members): string {
  const parts = [`${byDefault} at /predictions`, `models ${models.join(', ')}`]
  return [...parts, ...(pipelines.length === 0 ? [] : [`pipelines ${pipelines.join(', ')}`])].join('; ')
}

/**
 * Checks that an image has a model or pipeline of a name.
 *
 * @throws BuildError INPUT_INVALID
 */
export function requireMember(name: string, members: Members | undefined): void {
  const names = members === undefined ? [] : [...members.models, ...members.pipelines]
  if (names.includes(name)) return
  throw new BuildError('INPUT_INVALID', `The image has no model or pipeline \`${name}\``, {
    hint: hintForMember(name, names),
  })
}

/** What to say of a name that none of these models and pipelines has; no names for an image, or a project, of one model. */
export function hintForMember(name: string, names: readonly string[]): string {
  if (names.length === 0) return 'It has one model, which has no name; leave out --model.'
  const near = nearest(name, names)
  return `There are: ${names.join(', ')}.${near === undefined ? '' : ` Did you mean \`${near}\`?`}`
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string')
}
