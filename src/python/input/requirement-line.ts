import { existsSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fileNameOf } from '../../core/percent.ts'
import { BuildError } from '../../core/errors.ts'
import { parseMarker, type Marker } from '../marker.ts'
import { assertAddress, parseRequirement, type Requirement } from '../requirement.ts'
import { parseWheelName } from '../wheel-name.ts'

/** A requirement, or something that would have to be built before it can be one. */
export type ParsedLine =
  | { readonly kind: 'requirement'; readonly requirement: Requirement }
  /** A folder, a source archive or a repository. */
  | {
      readonly kind: 'source'
      readonly location: string
      readonly name: string | undefined
      readonly marker: Marker | undefined
      /** As written; absent when there are none. */
      readonly extras?: readonly string[]
    }

/** Folders that relative paths may start from, in the order in which they are tried. */
export type BaseFolders = readonly string[]

const URL_START = /^(?:https?|file|ftp):/i
const REPOSITORY = /^(?:git|hg|svn|bzr)\+/i

/**
 * Parses one requirement as pip does: PEP 508, or a path or URL of a wheel, a source archive, a folder, a repository.
 *
 * @throws BuildError REQUIREMENT_INVALID
 */
export function parseRequirementLine(text: string, folders: BaseFolders): ParsedLine {
  if (isLocation(text)) return parseLocation(text, folders)
  const requirement = parseRequirement(text)
  if (requirement.url === undefined) return { kind: 'requirement', requirement }
  const url =
    URL_START.test(requirement.url) || REPOSITORY.test(requirement.url)
      ? requirement.url
      : toFileUrl(requirement.url, folders)
  if (isWheel(url)) return { kind: 'requirement', requirement: { ...requirement, url } }
  return {
    kind: 'source',
    location: url,
    name: requirement.name,
    marker: requirement.marker,
    ...(requirement.extras.length === 0 ? {} : { extras: requirement.extras }),
  }
}

/** A name cannot hold a slash or start with a dot, and nobody names a package `x.whl`. */
function isLocation(text: string): boolean {
  const head = text.split(/\s/)[0] ?? ''
  if (URL_START.test(head) || REPOSITORY.test(head)) return true
  const start = head.split(/[@;<>=!~([]/)[0] ?? ''
  return (
    start.startsWith('.') || start.includes('/') || start.includes('\\') || /\.(?:whl|zip|tar\.gz|tgz)$/i.test(start)
  )
}

function parseLocation(text: string, folders: BaseFolders): ParsedLine {
  // In a URL a semicolon means something; only ` ;` starts a marker.
  const split = /\s+;|;\s+/.exec(text)
  const location = (split === null ? text : text.slice(0, split.index)).trim()
  const marker = split === null ? undefined : parseMarker(text.slice(split.index).replace(/^\s*;\s*/, ''))
  const [, path = location, extras] = /^(.*?)(\[[^[\]]*\])?$/.exec(location) ?? []
  if (REPOSITORY.test(location))
    return {
      kind: 'source',
      location,
      name: eggOf(location),
      marker,
      ...extrasOf(/[#&]egg=[\w.-]+(\[[^[\]]*\])/.exec(location)?.[1]),
    }
  assertAddress(location)
  const url = URL_START.test(location) ? location : toFileUrl(path, folders)
  if (!isWheel(url)) {
    const text = URL_START.test(location) ? undefined : extras
    return { kind: 'source', location: url, name: eggOf(location), marker, ...extrasOf(text) }
  }
  const wheel = parseWheelName(fileNameOf(url))
  const named = parseRequirement(`${wheel.name}${URL_START.test(location) ? '' : (extras ?? '')}`)
  return { kind: 'requirement', requirement: { ...named, url, marker } }
}

function isWheel(url: string): boolean {
  return URL_START.test(url) && new URL(url).pathname.endsWith('.whl')
}

function extrasOf(text: string | undefined): { readonly extras?: readonly string[] } {
  return text === undefined ? {} : { extras: parseRequirement(`x${text}`).extras }
}

function eggOf(location: string): string | undefined {
  return /[#&]egg=([A-Za-z0-9._-]+)/.exec(location)?.[1]
}

function toFileUrl(path: string, folders: BaseFolders): string {
  const candidates = isAbsolute(path) ? [path] : folders.map((folder) => resolve(folder, path))
  const found = candidates.find((candidate) => existsSync(candidate))
  if (found === undefined) {
    throw new BuildError('REQUIREMENT_INVALID', `The file does not exist: \`${path}\``, {
      hint: 'A path of a requirements file starts from the working directory or from the folder of the file.',
    })
  }
  return pathToFileURL(found).href
}
