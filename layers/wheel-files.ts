import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import { packedTogether, type RandomAccess } from '../src/core/bytes.ts'
import { BuildError } from '../src/core/errors.ts'
import { formatRecord, type RecordRow } from '../src/python/record.ts'
import {
  formatScript,
  isPythonScript,
  isReservedScript,
  rewriteScript,
  SCRIPT_PROBE_BYTES,
} from '../src/python/scripts.ts'
import { isRecordFile, type Wheel } from '../src/python/wheel.ts'
import { readEntry, type ZipEntry } from '../src/python/zip.ts'
import { readStart } from '../src/python/zip-stream.ts'

/** Where wheels are installed; part of their layers' keys. */
export interface InstallScheme {
  /** Path of the virtual environment without a leading slash, such as `opt/venv`. */
  readonly prefix: string
  /** Minor version of the interpreter, such as `3.11`. */
  readonly python: string
}

/** A file that a wheel's member becomes. */
export interface PlacedFile {
  /** As in {@link Entry}. */
  readonly path: string
  readonly mode: number
  readonly entry: ZipEntry
  readonly hash: NonNullable<RecordRow['hash']>
}

/** A file that the installer writes. */
export interface WrittenFile {
  readonly path: string
  readonly mode: number
  readonly bytes: Buffer
}

/** What one wheel puts into an environment. */
export interface WheelFiles {
  /** In the order of the archive's bytes. */
  readonly placed: readonly PlacedFile[]
  /** Scripts, INSTALLER and RECORD; RECORD is last. */
  readonly written: readonly WrittenFile[]
}

/** The name that INSTALLER holds. @see PEP 376 */
export const INSTALLER = 'layerwright'

const MAX_SCRIPT_BYTES = 16 * 2 ** 20

/** Where the interpreter of an environment lies, as an absolute path in the image. */
export function interpreterPath(scheme: InstallScheme): string {
  return `/${scheme.prefix}/bin/python`
}

/** Where packages lie, as a path without a leading slash. */
export function sitePackages(scheme: InstallScheme): string {
  return `${scheme.prefix}/lib/python${scheme.python}/site-packages`
}

/**
 * Works out every file that installing a wheel makes.
 *
 * A function of the wheel and the scheme alone: what depends on who asked for it (REQUESTED, direct_url.json) is not
 * here, so that all images share the wheel's layer.
 *
 * @throws BuildError WHEEL_INVALID
 * @see PEP 427, "Installing a wheel"
 */
export async function wheelFiles(source: RandomAccess, wheel: Wheel, scheme: InstallScheme): Promise<WheelFiles> {
  const placed: PlacedFile[] = []
  const written: WrittenFile[] = []
  const wrappers = new Set(wheel.entryPoints.map(({ name }) => `${wheel.dataFolder}/scripts/${name}`))
  for (const entry of wheel.archive.entries) {
    if (entry.isDirectory || isReplaced(entry.name, wheel.distInfo)) continue
    // Older tools packed the scripts that an installer makes of entry points; pip skips them too.
    if (wrappers.has(entry.name)) continue
    const target = targetOf(entry.name, wheel, scheme)
    const hash = wheel.record.get(entry.name)?.hash
    if (hash === undefined) throw new TypeError(`\`${entry.name}\` was not checked against RECORD`)
    const isScript = target.scheme === 'scripts'
    if (isScript && isPythonScript(await readStart(source, wheel.archive, entry, SCRIPT_PROBE_BYTES))) {
      const content = await readEntry(source, wheel.archive, entry, MAX_SCRIPT_BYTES)
      if (hashOf(content, hash.algorithm).value !== hash.value)
        throw invalid(wheel, `\`${entry.name}\` does not have the hash that RECORD says`)
      written.push({ path: target.path, mode: 0o755, bytes: rewriteScript(content, interpreterPath(scheme)) })
    } else {
      const isExecutable = isScript || ((entry.mode ?? 0) & 0o111) !== 0
      placed.push({ path: target.path, mode: isExecutable ? 0o755 : 0o644, entry, hash })
    }
  }
  for (const entryPoint of wheel.entryPoints) {
    const path = `${scheme.prefix}/bin/${entryPoint.name}`
    checkScriptName(entryPoint.name, wheel)
    written.push({ path, mode: 0o755, bytes: Buffer.from(formatScript(entryPoint, interpreterPath(scheme))) })
  }
  const site = sitePackages(scheme)
  written.push({ path: `${site}/${wheel.distInfo}/INSTALLER`, mode: 0o644, bytes: Buffer.from(`${INSTALLER}\n`) })
  checkTargets([...placed, ...written], wheel)
  const record = installedRecord({ placed, written }, wheel, scheme)
  written.push({ path: recordPath(wheel, scheme), mode: 0o644, bytes: record })
  // Kept until the layer is written, with those of all other wheels in it.
  const bytes = packedTogether(new Map(written.map((file) => [file.path, file.bytes])))
  return { placed, written: written.map((file) => ({ ...file, bytes: bytes.get(file.path) ?? file.bytes })) }
}

/** The RECORD among what {@link wheelFiles} says is written. */
export function recordOf(written: WheelFiles['written']): WrittenFile {
  const record = written.at(-1)
  if (record === undefined) throw new TypeError('RECORD is written last')
  return record
}

/** Where a wheel's RECORD lies when it is installed. */
function recordPath(wheel: Wheel, scheme: InstallScheme): string {
  return `${sitePackages(scheme)}/${wheel.distInfo}/RECORD`
}

/** The RECORD of an installed wheel. @param files `written` without RECORD itself */
function installedRecord(files: WheelFiles, wheel: Wheel, scheme: InstallScheme): Buffer {
  const site = sitePackages(scheme)
  const own = recordPath(wheel, scheme)
  const rows: RecordRow[] = [{ path: posix.relative(site, own), hash: undefined, sizeBytes: undefined }]
  for (const { path, entry, hash } of files.placed)
    rows.push({ path: posix.relative(site, path), hash, sizeBytes: entry.sizeBytes })
  for (const file of files.written) rows.push(writtenRow(file, scheme))
  return Buffer.from(formatRecord(rows))
}

/** The row of a RECORD for a file that the installer writes. */
export function writtenRow({ path, bytes }: WrittenFile, scheme: InstallScheme): RecordRow {
  return {
    path: posix.relative(sitePackages(scheme), path),
    hash: hashOf(bytes, 'sha256'),
    sizeBytes: bytes.length,
  }
}

/** Files of the metadata folder that the installer writes itself, or that only a project can know. */
function isReplaced(name: string, distInfo: string): boolean {
  return isRecordFile(name, distInfo) || REPLACED.some((file) => name === `${distInfo}/${file}`)
}

const REPLACED = ['INSTALLER', 'REQUESTED', 'direct_url.json']

function targetOf(name: string, wheel: Wheel, scheme: InstallScheme): { path: string; scheme: string } {
  const { prefix, python } = scheme
  const site = sitePackages(scheme)
  if (!name.startsWith(`${wheel.dataFolder}/`)) return { path: `${site}/${name}`, scheme: 'purelib' }
  const [, key = '', rest = ''] = /^[^/]*\/([^/]*)\/(.*)$/s.exec(name) ?? []
  if (rest === '') throw invalid(wheel, `\`${name}\` lies in no scheme of the .data folder`)
  switch (key) {
    case 'purelib':
    case 'platlib':
      return { path: `${site}/${rest}`, scheme: key }
    case 'headers':
      return { path: `${prefix}/include/site/python${python}/${wheel.wheelName.name}/${rest}`, scheme: key }
    case 'scripts':
      checkScriptName(rest, wheel)
      return { path: `${prefix}/bin/${rest}`, scheme: key }
    case 'data':
      if (rest.startsWith('bin/')) checkScriptName(rest.slice(4), wheel)
      if (rest === 'pyvenv.cfg') throw invalid(wheel, `\`${name}\` would replace the environment's own file`)
      return { path: `${prefix}/${rest}`, scheme: key }
    default:
      throw invalid(wheel, `\`${name}\` is for an unknown scheme: \`${key}\``)
  }
}

function checkScriptName(name: string, wheel: Wheel): void {
  if (isReservedScript(name)) throw invalid(wheel, `it would replace the environment's own command: \`${name}\``)
}

function checkTargets(files: readonly { readonly path: string }[], wheel: Wheel): void {
  const seen = new Set<string>()
  for (const { path } of files) {
    if (seen.has(path)) throw invalid(wheel, `two of its files would lie at \`${path}\``)
    seen.add(path)
  }
}

function hashOf(
  bytes: Uint8Array,
  algorithm: NonNullable<RecordRow['hash']>['algorithm'],
): NonNullable<RecordRow['hash']> {
  return { algorithm, value: createHash(algorithm).update(bytes).digest('base64url') }
}

function invalid(wheel: Wheel, problem: string): BuildError {
  return new BuildError('WHEEL_INVALID', `${wheel.wheelName.filename}: ${problem}`)
}
