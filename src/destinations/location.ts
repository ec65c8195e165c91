import { resolve } from 'node:path'
import { parseReference, type Reference, isTag } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'

/** Where an image lies or goes to, as skopeo names it. */
export type Location =
  | { readonly kind: 'registry'; readonly reference: Reference }
  | { readonly kind: 'oci'; readonly path: string; readonly tag: string | undefined }
  | { readonly kind: 'oci-archive'; readonly path: string; readonly tag: string | undefined }
  | { readonly kind: 'docker-archive'; readonly path: string; readonly tag: string | undefined }

const TRANSPORTS_ELSEWHERE =
  /^(docker-daemon|containers-storage|dir|ostree|sif|tarball|atomic|docker-tarfile|containerd-daemon):/

/**
 * Parses `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]`, `docker://REFERENCE`, or a bare
 * reference to a registry.
 *
 * @throws BuildError REFERENCE_INVALID; NOT_SUPPORTED for transports of other programs
 */
export function parseLocation(text: string): Location {
  const colon = text.indexOf(':')
  const transport = text.slice(0, Math.max(colon, 0))
  const rest = text.slice(colon + 1)
  switch (transport) {
    case 'docker':
      if (!rest.startsWith('//')) throw invalid(text, 'after `docker:` two slashes are expected')
      return { kind: 'registry', reference: parseReference(rest.slice(2)) }
    case 'oci':
    case 'oci-archive':
      return { kind: transport, ...splitTag(rest, text, isTag) }
    case 'docker-archive':
      return { kind: transport, ...splitTag(rest, text, isReference) }
    default:
      if (TRANSPORTS_ELSEWHERE.test(text))
        throw new BuildError('NOT_SUPPORTED', `This transport is not supported: \`${transport}:\``, {
          hint: 'Known are oci:DIR, oci-archive:FILE, docker-archive:FILE[:NAME:TAG], docker://REFERENCE and a bare reference.',
        })
      if (/^[./~]/.test(text)) throw invalid(text, 'a path needs its kind in front')
      return { kind: 'registry', reference: parseReference(text) }
  }
}

/** The same location with an absolute path: those that people write are relative to where they are written. */
export function resolvePath(location: string, folder: string): string {
  const match = /^(oci|oci-archive|docker-archive):(.*)$/s.exec(location)
  // A path that is missing is not the folder.
  return match === null || match[2] === '' ? location : `${match[1]}:${resolve(folder, match[2] ?? '')}`
}

/** The text of a location; parses to the same. */
export function formatLocation(location: Location): string {
  if (location.kind === 'registry') {
    const { registry, repository, tag, digest } = location.reference
    return `docker://${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
  }
  return `${location.kind}:${location.path}${location.tag === undefined ? '' : `:${location.tag}`}`
}

/** A path may hold colons (`C:\images`); what follows the first one that leaves a valid name is the name. */
function splitTag(
  rest: string,
  text: string,
  isName: (name: string) => boolean,
): { readonly path: string; readonly tag: string | undefined } {
  if (rest === '') throw invalid(text, 'the path is missing')
  const isDrive = /^[A-Za-z]:[\\/]/.test(rest)
  const colon = rest.indexOf(':', isDrive ? 2 : 0)
  if (colon === -1) return { path: rest, tag: undefined }
  const path = rest.slice(0, colon)
  const tag = rest.slice(colon + 1)
  if (path === '') throw invalid(text, 'the path is missing')
  if (!isName(tag)) throw invalid(text, `\`${tag}\` is not a ${isName === isTag ? 'tag' : 'name'}`)
  return { path, tag }
}

function isReference(name: string): boolean {
  try {
    return parseReference(name).digest === undefined
  } catch {
    // A question, and this is its answer.
    return false
  }
}

function invalid(text: string, problem: string): BuildError {
  return new BuildError('REFERENCE_INVALID', `Not an image location, ${problem}: \`${text}\``, {
    hint: 'A location looks like oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker://REFERENCE or a bare reference.',
  })
}
