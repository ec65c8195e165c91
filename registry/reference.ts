import { BuildError } from '../src/core/errors.ts'
import type { Digest } from 'oci-spec-types'

/** A digest that the grammar allows in a reference; sha384 is named by it, but no registry content is. */
export type ReferenceDigest = Digest | `sha384:${string}`

/** A name of an image in a registry, normalised: short names of Docker Hub are filled in. */
export interface Reference {
  /** Host with port, as written; `docker.io` for Docker Hub. */
  readonly registry: string
  readonly repository: string
  /** Undefined when neither written nor needed; see {@link referenceTag}. */
  readonly tag: string | undefined
  /** Decides what is meant when present; the tag is then for display. */
  readonly digest: ReferenceDigest | undefined
}

const DOCKER_HUB = 'docker.io'
const MAX_PATH_LENGTH = 255

const HOST_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'
const HOST = `${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[a-fA-F0-9:]+\\]`
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const DOMAIN_PATTERN = new RegExp(`^(?:${HOST})(?::[0-9]+)?$`)
const PATH_PATTERN = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
/** What stands before an `@` that no digest follows, as in addresses: it is secret, and in no message. */
const CREDENTIALS_PATTERN = /^([a-z-]+:\/\/)?.*@(?!sha\d+:)/s
const DIGEST_PATTERN = /^(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})$/

/**
 * Parses `[registry/]repository[:tag][@digest]` as Docker, containerd and podman do.
 *
 * The first component is a registry only if it holds a `.` or `:`, is `localhost`, or has an upper-case letter.
 *
 * @throws BuildError REFERENCE_INVALID
 * @see distribution/reference v0.6.0, `ParseNormalizedNamed`
 * @example parseReference('ubuntu') // { registry: 'docker.io', repository: 'library/ubuntu', ... }
 */
export function parseReference(text: string): Reference {
  const masked = text.replace(CREDENTIALS_PATTERN, '$1***@')
  if (masked !== text) throw invalid(masked, 'a user or password does not belong in it')
  const at = text.indexOf('@')
  const digest = at === -1 ? undefined : text.slice(at + 1)
  const named = at === -1 ? text : text.slice(0, at)
  if (digest !== undefined && !isReferenceDigest(digest)) throw invalid(text, digestProblem(digest))
  if (/^[a-f0-9]{64}$/.test(named)) throw invalid(text, 'a bare 64-digit hex name could be mistaken for an image id')

  const { registry, rest } = splitRegistry(named)
  const colon = rest.lastIndexOf(':')
  const isTagged = colon > rest.lastIndexOf('/')
  const tag = isTagged ? rest.slice(colon + 1) : undefined
  const path = isTagged ? rest.slice(0, colon) : rest
  const repository = registry === DOCKER_HUB && !path.includes('/') ? `library/${path}` : path

  if (!DOMAIN_PATTERN.test(registry)) throw invalid(text, `\`${registry}\` is not a registry host`)
  if (!PATH_PATTERN.test(repository)) throw invalid(text, pathProblem(path))
  if (repository.length > MAX_PATH_LENGTH) throw invalid(text, `the name is longer than ${MAX_PATH_LENGTH} characters`)
  if (tag !== undefined && !TAG_PATTERN.test(tag)) throw invalid(text, `\`${tag}\` is not a tag`)
  return { registry, repository, tag, digest }
}

/** The tag that is meant when no digest is given: the written one, else `latest`. */
export function referenceTag(reference: Reference): string | undefined {
  return reference.tag ?? (reference.digest === undefined ? 'latest' : undefined)
}

/** Tells whether a text is a tag; registries also list names that are none. */
export function isTag(text: string): boolean {
  return TAG_PATTERN.test(text)
}

/** The full form, such as `docker.io/library/ubuntu:22.04`; the inverse of {@link parseReference}. */
export function formatReference(reference: Reference): string {
  return `${reference.registry}/${reference.repository}${suffix(reference)}`
}

/** The short form that people write, such as `ubuntu:22.04`; parses to the same reference. */
export function formatFamiliar(reference: Reference): string {
  const { registry, repository } = reference
  if (registry !== DOCKER_HUB) return formatReference(reference)
  const [first = '', second, ...more] = repository.split('/')
  if (first === 'library' && second !== undefined && more.length === 0) return `${second}${suffix(reference)}`
  return isRegistryHost(first) ? formatReference(reference) : `${repository}${suffix(reference)}`
}

/** The host that serves a registry's API; Docker Hub's has another name than its references. */
export function apiHost(registry: string): string {
  return registry === DOCKER_HUB ? 'registry-1.docker.io' : registry
}

function suffix({ tag, digest }: Reference): string {
  return `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

function splitRegistry(named: string): { registry: string; rest: string } {
  const slash = named.indexOf('/')
  const first = slash === -1 ? '' : named.slice(0, slash)
  if (!isRegistryHost(first)) return { registry: DOCKER_HUB, rest: named }
  return { registry: first === 'index.docker.io' ? DOCKER_HUB : first, rest: named.slice(slash + 1) }
}

function isRegistryHost(component: string): boolean {
  return /[.:]/.test(component) || component === 'localhost' || component !== component.toLowerCase()
}

function isReferenceDigest(text: string): text is ReferenceDigest {
  return DIGEST_PATTERN.test(text)
}

function digestProblem(digest: string): string {
  return `\`${digest.length > 80 ? `${digest.slice(0, 80)}...` : digest}\` is not a sha256, sha384 or sha512 digest`
}

function pathProblem(path: string): string {
  if (path === '') return 'the repository is missing'
  if (path !== path.toLowerCase() && PATH_PATTERN.test(path.toLowerCase())) return 'repository names are lower-case'
  return `\`${path.length > 80 ? `${path.slice(0, 80)}...` : path}\` is not a repository name`
}

function invalid(text: string, problem: string): BuildError {
  const scheme = /^([a-z-]+):\/\//.exec(text)?.[1]
  const more = text.includes('***@') ? ' Credentials are kept by `layerwright login REGISTRY`.' : ''
  const shown = text.length > 120 ? `${text.slice(0, 120)}...` : text
  return new BuildError('REFERENCE_INVALID', `Not an image reference, ${problem}: \`${shown}\``, {
    hint: `${
      scheme === undefined
        ? 'A reference looks like [registry/]repository[:tag][@digest], such as ghcr.io/owner/model:v1.'
        : `Leave out \`${scheme}://\`.`
    }${more}`,
    data: { reference: shown },
  })
}
