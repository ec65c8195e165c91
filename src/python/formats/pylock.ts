import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stringify } from 'smol-toml'
import { fileNameOf } from '../../core/percent.ts'
import { BuildError } from '../../core/errors.ts'
import type { ListedFile } from '../index/client.ts'
import type { LockedWheel, PythonLock } from '../lock.ts'
import { evaluateMarker, parseMarker, type MarkerEnvironment } from '../marker.ts'
import { normalizeName, parsePackageName } from '../package-name.ts'
import { allowsPython, targetPython } from '../requires-python.ts'
import { parseSpecifiers } from '../specifier.ts'
import { fullPythonVersion, targetMarkers, type Target } from '../target.ts'
import { formatVersion, parseVersion } from '../version.ts'
import { pickLockedWheel } from './locked-files.ts'
import { parseTable, tableAt, tablesAt, textAt, textsAt, type Table } from './toml-table.ts'

/** Writes a lock as `pylock.toml`, for its one target. @see PEP 751 */
export function formatPylock(lock: PythonLock): string {
  const [major, minor] = fullPythonVersion(lock.target.pythonVersion).split('.')
  const markers = targetMarkers(lock.target)
  const head = [
    'lock-version = "1.0"',
    `environments = [${quote(`platform_machine == '${markers.platform_machine}' and sys_platform == 'linux' and implementation_name == 'cpython'`)}]`,
    `requires-python = ">=${major}.${minor}"`,
    'created-by = "layerwright"',
  ]
  return [head.join('\n'), ...lock.packages.map(formatPackage)].join('\n\n') + '\n'
}

function formatPackage(wheel: LockedWheel): string {
  const edges = wheel.dependencies.map((name) => `{ name = ${quote(name)} }`)
  const fields = [
    ...(wheel.uploadTime === undefined ? [] : [`upload-time = ${wheel.uploadTime.replace(/(\.\d{3})\d+/, '$1')}`]),
    `name = ${quote(wheel.filename)}`,
    `url = ${quote(wheel.url)}`,
    `size = ${wheel.sizeBytes}`,
    `hashes = { sha256 = ${quote(wheel.sha256)} }`,
  ]
  return [
    '[[packages]]',
    `name = ${quote(wheel.name)}`,
    `version = ${quote(wheel.version)}`,
    ...(edges.length === 0 ? [] : [`dependencies = [${edges.join(', ')}]`]),
    ...(wheel.index === undefined ? [] : [`index = ${quote(wheel.index)}`]),
    `wheels = [{ ${fields.join(', ')} }]`,
  ].join('\n')
}

function quote(text: string): string {
  return stringify({ text }).trim().slice('text = '.length)
}

/** What a lock is read for. */
export interface LockSelection {
  readonly target: Target
  readonly extras?: readonly string[]
  readonly groups?: readonly string[]
  /** Absolute folder of the lock, which relative paths in it start from; `/` unless given. */
  readonly folder?: string
}

/** A wheel as a lock states it: some tools write no sizes. */
export type StatedWheel = Omit<LockedWheel, 'sizeBytes'> & { readonly sizeBytes?: number }

/** What a lock states for one target. */
export interface StatedLock {
  readonly target: Target
  /** Sorted by name. */
  readonly packages: readonly StatedWheel[]
}

/**
 * Reads a `pylock.toml` for one target: the packages whose markers hold, each with its best wheel.
 *
 * @throws BuildError PROJECT_INVALID for what is no lock of version 1, LOCK_STALE when it is not for this target
 * @throws ResolveError WHEEL_NOT_FOUND
 * @see PEP 751, "Installation"
 */
export function readPylock(text: string, file: string, selection: LockSelection): StatedLock {
  const toml = parseTable(text, file)
  const version = textAt(toml, 'lock-version')
  if (version === undefined || !/^1(?:\.\d+)?$/.test(version)) {
    throw invalid(file, version === undefined ? 'it has no lock-version' : `its lock-version is ${version}, not 1.x`)
  }
  const { target } = selection
  const environment: MarkerEnvironment = {
    ...targetMarkers(target),
    extras: selection.extras ?? [],
    dependency_groups: selection.groups ?? textsAt(toml, 'default-groups') ?? [],
  }
  assertTarget(toml, environment, file)
  assertNames('extra', selection.extras, textsAt(toml, 'extras'), file)
  assertNames('dependency group', selection.groups, textsAt(toml, 'dependency-groups'), file)
  const packages = tablesAt(toml, 'packages').filter((each) => holds(each, environment, file))
  const locked = packages.map((each) => readPackage(each, file, selection))
  const twice = locked.find((wheel, i) => locked.findIndex(({ name }) => name === wheel.name) !== i)
  if (twice !== undefined) throw invalid(file, `\`${twice.name}\` has two entries for this target`)
  return { target, packages: locked.sort((a, b) => (a.name < b.name ? -1 : 1)) }
}

function assertTarget(toml: Table, environment: MarkerEnvironment, file: string): void {
  const python = environment.python_full_version
  const requires = textAt(toml, 'requires-python')
  const environments = textsAt(toml, 'environments')
  const fits =
    (requires === undefined || allowsPython(parseSpecifiers(requires), targetPython(python))) &&
    (environments === undefined || environments.some((marker) => evaluateMarker(parseMarker(marker), environment)))
  if (fits) return
  throw new BuildError(
    'LOCK_STALE',
    `${file} was made for another environment than Python ${python} on ${environment.platform_machine}`,
    {
      hint: 'Lock again for this target, or set `build.python_version`.',
      data: { requiresPython: requires, environments },
    },
  )
}

/** Refuses what a lock knows nothing of. @throws BuildError PROJECT_INVALID */
export function assertNames(
  kind: 'extra' | 'dependency group',
  wanted: readonly string[] = [],
  known: readonly string[] = [],
  file: string,
): void {
  const names = known.map(normalizeName)
  const missing = wanted.find((name) => !names.includes(normalizeName(name)))
  if (missing === undefined) return
  throw invalid(
    file,
    `it has no ${kind} \`${missing}\``,
    names.length === 0 ? `It was locked without any.` : `It has ${names.join(', ')}.`,
  )
}

function holds(entry: Table, environment: MarkerEnvironment, file: string): boolean {
  const marker = textAt(entry, 'marker')
  try {
    return marker === undefined || evaluateMarker(parseMarker(marker), environment)
  } catch (cause) {
    if (!(cause instanceof BuildError)) throw cause
    throw invalid(file, cause.message)
  }
}

function readPackage(entry: Table, file: string, { target, folder = '/' }: LockSelection): StatedWheel {
  const name = parsePackageName(textAt(entry, 'name') ?? '')
  const version = textAt(entry, 'version')
  const archive = tableAt(entry, 'archive')
  const tables = archive === undefined ? tablesAt(entry, 'wheels') : [archive]
  if (tables.length === 0 || version === undefined) throw unbuildable(entry, name, file)
  const index = textAt(entry, 'index') ?? ''
  const files = tables.map((wheel) => readFileEntry(wheel, name, index, { file, folder }))
  const chosen = pickLockedWheel(name, version, files, target)
  const sha256 = chosen.hashes['sha256']
  if (sha256 === undefined) throw invalid(file, `\`${name}\` has no sha256`)
  return {
    name,
    version: formatVersion(parseVersion(version)),
    filename: chosen.filename,
    url: chosen.url,
    sha256,
    ...(chosen.sizeBytes === undefined ? {} : { sizeBytes: chosen.sizeBytes }),
    ...(index === '' ? {} : { index }),
    requested: false,
    dependencies: tablesAt(entry, 'dependencies')
      .flatMap((edge) => textAt(edge, 'name') ?? [])
      .sort(),
    ...(chosen.uploadTime === undefined ? {} : { uploadTime: chosen.uploadTime }),
  }
}

function readFileEntry(
  wheel: Table,
  name: string,
  index: string,
  { file, folder }: { readonly file: string; readonly folder: string },
): ListedFile {
  const path = textAt(wheel, 'path')
  const url = textAt(wheel, 'url') ?? (path === undefined ? undefined : pathToFileURL(resolve(folder, path)).href)
  if (url === undefined || !/^(?:https?|file):/.test(url) || !URL.canParse(url)) {
    throw invalid(file, `a wheel of \`${name}\` has no url`)
  }
  const hashes = Object.fromEntries(
    Object.entries(tableAt(wheel, 'hashes') ?? {}).map(([algorithm, hash]) => [algorithm, String(hash).toLowerCase()]),
  )
  const size = wheel['size']
  const uploadTime = wheel['upload-time']
  return {
    filename: textAt(wheel, 'name') ?? fileNameOf(url),
    url,
    index,
    hashes,
    ...(typeof size === 'number' || typeof size === 'bigint' ? { sizeBytes: Number(size) } : {}),
    ...(uploadTime instanceof Date ? { uploadTime: uploadTime.toISOString() } : {}),
  }
}

function unbuildable(entry: Table, name: string, file: string): BuildError {
  const kind = ['vcs', 'directory', 'sdist'].find((key) => entry[key] !== undefined) ?? 'nothing'
  return new BuildError('NOT_SUPPORTED', `${file} locks \`${name}\` as ${kind}, not as wheels`, {
    hint: 'Build a wheel of it and lock that.',
  })
}

function invalid(file: string, why: string, hint?: string): BuildError {
  return new BuildError('PROJECT_INVALID', `${file} cannot be used: ${why}`, { hint })
}
