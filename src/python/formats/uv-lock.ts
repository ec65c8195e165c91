import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fileNameOf } from '../../core/percent.ts'
import { BuildError } from '../../core/errors.ts'
import type { ListedFile } from '../index/client.ts'
import { evaluateMarker, parseMarker, type Marker, type MarkerEnvironment } from '../marker.ts'
import { normalizeName } from '../package-name.ts'
import { targetMarkers } from '../target.ts'
import { pickLockedWheel } from './locked-files.ts'
import { assertNames, type LockSelection, type StatedLock, type StatedWheel } from './pylock.ts'
import { parseTable, tableAt, tablesAt, textAt, textsAt, type Table } from './toml-table.ts'

/**
 * Reads a `uv.lock` for one target: what its own project needs there, each package with its best wheel.
 *
 * @throws BuildError PROJECT_INVALID for what is no lock of version 1, LOCK_STALE when no fork of it is for the target
 * @throws BuildError NOT_SUPPORTED for a package that would have to be built
 * @throws ResolveError WHEEL_NOT_FOUND
 */
export function readUvLock(text: string, file: string, selection: LockSelection): StatedLock {
  const toml = parseTable(text, file)
  if (toml['version'] !== 1) throw invalid(file, `its version is ${String(toml['version'])}, not 1`)
  const lock = new UvLock(toml, file, selection)
  return { target: selection.target, packages: lock.packages() }
}

class UvLock {
  readonly #entries: readonly Table[]
  readonly #file: string
  readonly #selection: LockSelection
  readonly #environment: MarkerEnvironment
  readonly #chosen = new Map<
    string,
    { readonly entry: Table; readonly extras: Set<string>; readonly edges: Set<string> }
  >()
  readonly #requested = new Set<string>()
  readonly #activeExtras: ReadonlySet<string>

  constructor(toml: Table, file: string, selection: LockSelection) {
    this.#file = file
    this.#selection = selection
    this.#environment = targetMarkers(selection.target)
    const projects = tablesAt(toml, 'package').filter((entry) => isProject(tableAt(entry, 'source')))
    this.#activeExtras = conflictNames(projects, selection)
    const forks = textsAt(toml, 'resolution-markers')
    if (forks !== undefined && !forks.some((marker) => this.#holds(marker))) {
      throw new BuildError(
        'LOCK_STALE',
        `${file} was not locked for Python ${this.#environment.python_full_version} on this platform`,
      )
    }
    this.#entries = tablesAt(toml, 'package').filter((entry) => {
      const markers = textsAt(entry, 'resolution-markers')
      return markers === undefined || markers.some((marker) => this.#holds(marker))
    })
  }

  packages(): readonly StatedWheel[] {
    const projects = this.#entries.filter((entry) => isProject(tableAt(entry, 'source')))
    if (projects.length === 0) throw invalid(this.#file, 'it names no project')
    this.#assertNames(projects)
    for (const project of projects) {
      for (const edge of this.#projectEdges(project)) this.#follow(edge, true)
    }
    return [...this.#chosen]
      .filter(([, { entry }]) => !isProject(tableAt(entry, 'source')))
      .map(([name, { entry, extras, edges }]) => this.#toWheel(name, entry, [...extras].sort(), [...edges].sort()))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #assertNames(projects: readonly Table[]): void {
    const { extras, groups } = this.#selection
    const namesOf = (project: Table, key: string, stated: string): readonly string[] => {
      const metadata = tableAt(project, 'metadata')
      const listed = textsAt(metadata, stated) ?? Object.keys(tableAt(metadata, stated) ?? {})
      return [...Object.keys(tableAt(project, key) ?? {}), ...listed]
    }
    const all = (key: string, stated: string): readonly string[] => [
      ...new Set(projects.flatMap((project) => namesOf(project, key, stated))),
    ]
    assertNames('extra', extras, all('optional-dependencies', 'provides-extras'), this.#file)
    assertNames('dependency group', groups, all('dev-dependencies', 'requires-dev'), this.#file)
  }

  #projectEdges(project: Table): readonly Table[] {
    const { extras = [], groups = [] } = this.#selection
    return [
      ...tablesAt(project, 'dependencies'),
      ...extras.flatMap((extra) => tablesAt(tableAt(project, 'optional-dependencies'), normalizeName(extra))),
      ...groups.flatMap((group) => tablesAt(tableAt(project, 'dev-dependencies'), normalizeName(group))),
    ]
  }

  #follow(edge: Table, isRoot: boolean): string | undefined {
    const marker = textAt(edge, 'marker')
    const name = textAt(edge, 'name')
    if (name === undefined || (marker !== undefined && !this.#holds(marker))) return undefined
    if (isRoot) this.#requested.add(name)
    const version = textAt(edge, 'version')
    const entry = this.#entries.find(
      (each) => textAt(each, 'name') === name && (version === undefined || textAt(each, 'version') === version),
    )
    if (entry === undefined) throw invalid(this.#file, `\`${name}\` is required but not locked`)
    const known = this.#chosen.get(name)
    const chosen = known ?? { entry, extras: new Set<string>(), edges: new Set<string>() }
    this.#chosen.set(name, chosen)
    const extras = (textsAt(edge, 'extra') ?? []).filter((extra) => !chosen.extras.has(extra))
    for (const extra of extras) chosen.extras.add(extra)
    const next = [
      ...(known === undefined ? tablesAt(entry, 'dependencies') : []),
      ...extras.flatMap((extra) => tablesAt(tableAt(entry, 'optional-dependencies'), extra)),
    ]
    for (const each of next) {
      const required = this.#follow(each, false)
      if (required !== undefined && required !== name) chosen.edges.add(required)
    }
    return name
  }

  #toWheel(name: string, entry: Table, extras: readonly string[], dependencies: readonly string[]): StatedWheel {
    const version = textAt(entry, 'version')
    const source = tableAt(entry, 'source')
    const registry = textAt(source, 'registry') ?? ''
    const files = tablesAt(entry, 'wheels').flatMap((wheel) => toFile(wheel, source, this.#selection.folder ?? '/'))
    if (version === undefined || files.length === 0) {
      throw new BuildError('NOT_SUPPORTED', `${this.#file} locks \`${name}\` without wheels`, {
        hint: 'Build a wheel of it and name that in the project.',
      })
    }
    const file = pickLockedWheel(name, version, files, this.#selection.target)
    const sha256 = file.hashes['sha256']
    if (sha256 === undefined) throw invalid(this.#file, `\`${name}\` has no sha256`)
    return {
      name,
      version,
      filename: file.filename,
      url: file.url,
      sha256,
      ...(file.sizeBytes === undefined ? {} : { sizeBytes: file.sizeBytes }),
      ...(!/^https?:/.test(registry) ? {} : { index: registry.endsWith('/') ? registry : `${registry}/` }),
      requested: this.#requested.has(name),
      ...(extras.length === 0 ? {} : { extras }),
      dependencies,
      ...(file.uploadTime === undefined ? {} : { uploadTime: file.uploadTime }),
    }
  }

  #holds(marker: string): boolean {
    try {
      return this.#isTrue(parseMarker(marker))
    } catch (cause) {
      if (!(cause instanceof BuildError)) throw cause
      throw invalid(this.#file, cause.message)
    }
  }

  /** Several extras may be wanted at once, so `extra` is a set here. */
  #isTrue(marker: Marker): boolean {
    if (marker.kind !== 'compare') {
      const results = marker.parts.map((part) => this.#isTrue(part))
      return marker.kind === 'all' ? results.every(Boolean) : results.some(Boolean)
    }
    const { left, operator, right } = marker
    if (left.kind !== 'variable' || left.name !== 'extra' || right.kind !== 'value') {
      return evaluateMarker(marker, { ...this.#environment, extra: '' })
    }
    return this.#activeExtras.has(right.value) === (operator === '==')
  }
}

/** How uv writes extras and groups that exclude each other into markers: `extra-4-demo-cpu`, `group-4-demo-dev`. */
function conflictNames(projects: readonly Table[], { extras = [], groups = [] }: LockSelection): ReadonlySet<string> {
  const names = projects.flatMap((project) => textAt(project, 'name') ?? [])
  return new Set([
    ...names.flatMap((name) => extras.map((extra) => `extra-${name.length}-${name}-${normalizeName(extra)}`)),
    ...names.flatMap((name) => groups.map((group) => `group-${name.length}-${name}-${normalizeName(group)}`)),
  ])
}

function toFile(wheel: Table, source: Table | undefined, folder: string): readonly ListedFile[] {
  const index = textAt(source, 'registry') ?? ''
  const isLocal = index !== '' && !/^(?:https?|file):/.test(index)
  const path = textAt(wheel, 'path') ?? textAt(source, 'path')
  const local = path === undefined ? undefined : pathToFileURL(resolve(folder, isLocal ? index : '.', path)).href
  const url = textAt(wheel, 'url') ?? textAt(source, 'url') ?? local
  const filename = textAt(wheel, 'filename') ?? (url === undefined || !URL.canParse(url) ? undefined : fileNameOf(url))
  const [algorithm, hash] = (textAt(wheel, 'hash') ?? '').split(':')
  if (url === undefined || filename === undefined || !URL.canParse(url)) return []
  const size = wheel['size']
  const uploadTime = textAt(wheel, 'upload-time')
  return [
    {
      filename,
      url,
      index,
      hashes: algorithm === undefined || hash === undefined ? {} : { [algorithm]: hash },
      ...(typeof size === 'number' ? { sizeBytes: size } : {}),
      ...(uploadTime === undefined ? {} : { uploadTime }),
    },
  ]
}

/** The locked project itself and members of its workspace; they are the user's code, not packages. */
function isProject(source: Table | undefined): boolean {
  return source?.['virtual'] !== undefined || source?.['editable'] !== undefined || source?.['directory'] !== undefined
}

function invalid(file: string, why: string): BuildError {
  return new BuildError('PROJECT_INVALID', `${file} cannot be used: ${why}`)
}
