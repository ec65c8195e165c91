import type { RandomAccess } from '../core/bytes.ts'
import { BuildError } from '../core/errors.ts'
import { parseScriptEntryPoints, type EntryPoint } from './entry-points.ts'
import { normalizeName } from './package-name.ts'
import { parseRecord, type RecordRow } from './record.ts'
import { compareVersions, tryParseVersion } from './version.ts'
import { parseWheelName, type WheelName } from './wheel-name.ts'
import { readEntry, readZip, type ZipArchive, type ZipEntry } from './zip.ts'

const MAX_METADATA_BYTES = 16 * 2 ** 20
const MAX_RECORD_BYTES = 64 * 2 ** 20

/** A wheel whose directory and metadata were read and agree with each other. */
export interface Wheel {
  readonly wheelName: WheelName
  readonly archive: ZipArchive
  /** The top folder with the metadata, such as `numpy-2.2.6.dist-info`. */
  readonly distInfo: string
  /** The top folder of files for other places, such as `numpy-2.2.6.data`; it may not exist. */
  readonly dataFolder: string
  readonly isPurelib: boolean
  /** Every file of the archive but RECORD and its signatures has a row with a hash, and every row has a file. */
  readonly record: ReadonlyMap<string, RecordRow>
  readonly entryPoints: readonly EntryPoint[]
  /** What is unusual but no reason to refuse. */
  readonly warnings: readonly string[]
}

/**
 * Opens a wheel: reads its directory, WHEEL, METADATA, RECORD and entry points by random access, and checks that they
 * fit the file name and each other. The files' content is proven when they are streamed.
 *
 * @param filename the wheel's file name, by which its metadata folder must be named
 * @throws BuildError ARCHIVE_INVALID, WHEEL_INVALID
 * @see PEP 427; PEP 491
 */
export async function openWheel(source: RandomAccess, filename: string): Promise<Wheel> {
  const wheelName = parseWheelName(filename)
  const archive = await readZip(source, filename)
  const byName = new Map(archive.entries.map((entry) => [entry.name, entry]))
  const distInfo = findDistInfo(archive, wheelName)
  const read = async (name: string, limitBytes: number): Promise<string | undefined> => {
    const entry = byName.get(`${distInfo}/${name}`)
    return entry && decode(await readEntry(source, archive, entry, limitBytes), name, filename)
  }
  const [wheelFile, metadata, recordFile, entryPoints] = await Promise.all([
    read('WHEEL', MAX_METADATA_BYTES),
    read('METADATA', MAX_METADATA_BYTES),
    read('RECORD', MAX_RECORD_BYTES),
    read('entry_points.txt', MAX_METADATA_BYTES),
  ])
  if (wheelFile === undefined) throw invalid(filename, `\`${distInfo}/WHEEL\` is missing`)
  if (metadata === undefined) throw invalid(filename, `\`${distInfo}/METADATA\` is missing`)
  if (recordFile === undefined) throw invalid(filename, `\`${distInfo}/RECORD\` is missing`)
  checkMetadata(metadata, wheelName)
  const { isPurelib, warnings } = readWheelFile(wheelFile, filename)
  const record = parseRecord(recordFile, filename)
  checkRecord(record, archive, distInfo)
  return {
    wheelName,
    archive,
    distInfo,
    dataFolder: distInfo.replace(/\.dist-info$/, '.data'),
    isPurelib,
    record,
    entryPoints: entryPoints === undefined ? [] : parseScriptEntryPoints(entryPoints, filename),
    warnings,
  }
}

/** Whether a file of the metadata folder is RECORD or a signature of it, which have no hash. */
export function isRecordFile(path: string, distInfo: string): boolean {
  return RECORD_FILES.some((name) => path === `${distInfo}/${name}`)
}

const RECORD_FILES = ['RECORD', 'RECORD.jws', 'RECORD.p7s']

function findDistInfo(archive: ZipArchive, wheelName: WheelName): string {
  const folders = new Set(archive.entries.map(({ name }) => name.slice(0, Math.max(name.indexOf('/'), 0))))
  const found = [...folders].filter((folder) => folder.endsWith('.dist-info'))
  const { filename } = wheelName
  const [distInfo] = found
  if (distInfo === undefined) throw invalid(filename, 'it has no .dist-info folder')
  if (found.length > 1) throw invalid(filename, `it has more than one .dist-info folder: ${found.sort().join(', ')}`)
  const stem = distInfo.slice(0, -'.dist-info'.length)
  const dash = stem.lastIndexOf('-')
  if (!fits(stem.slice(0, dash), stem.slice(dash + 1), wheelName))
    throw invalid(filename, `its metadata folder has another name or version: \`${distInfo}\``)
  return distInfo
}

function fits(name: string, versionText: string, wheelName: WheelName): boolean {
  const version = tryParseVersion(versionText)
  if (version === undefined || normalizeName(name) !== wheelName.name) return false
  return compareVersions(version, wheelName.version) === 0
}

function checkMetadata(text: string, wheelName: WheelName): void {
  const headers = parseHeaders(text)
  const name = headers.get('name') ?? ''
  const version = headers.get('version') ?? ''
  if (!fits(name, version, wheelName))
    throw invalid(wheelName.filename, `its METADATA names another package: \`${name} ${version}\``)
}

function readWheelFile(text: string, filename: string): Pick<Wheel, 'isPurelib' | 'warnings'> {
  const headers = parseHeaders(text)
  const [, major = '', minor = ''] = /^(\d+)\.(\d+)$/.exec(headers.get('wheel-version') ?? '') ?? []
  if (major === '') throw invalid(filename, 'its WHEEL has no Wheel-Version')
  if (major !== '1') {
    throw invalid(
      filename,
      `its wheel format is too new: ${major}.${minor}`,
      'Update layerwright, or ask for an older release of the package.',
    )
  }
  const purelib = headers.get('root-is-purelib')?.toLowerCase()
  if (purelib !== 'true' && purelib !== 'false') throw invalid(filename, 'its WHEEL has no Root-Is-Purelib')
  const warnings = minor === '0' ? [] : [`${filename} has the newer wheel format ${major}.${minor}`]
  return { isPurelib: purelib === 'true', warnings }
}

/** The first value of each header, by lower-case name, up to the first empty line. */
function parseHeaders(text: string): Map<string, string> {
  const headers = new Map<string, string>()
  const end = /\r?\n\r?\n/.exec(text)?.index ?? text.length
  for (const line of text.slice(0, end).split(/\r?\n/)) {
    const [, name, value = ''] = /^([^\s:]+):\s*(.*?)\s*$/.exec(line) ?? []
    if (name !== undefined && !headers.has(name.toLowerCase())) headers.set(name.toLowerCase(), value)
  }
  return headers
}

function checkRecord(record: ReadonlyMap<string, RecordRow>, archive: ZipArchive, distInfo: string): void {
  const problems: string[] = []
  const present = new Set<string>()
  for (const entry of archive.entries) {
    if (entry.isDirectory) continue
    present.add(entry.name)
    const problem = isRecordFile(entry.name, distInfo) ? undefined : recordProblem(entry, record.get(entry.name))
    if (problem !== undefined) problems.push(problem)
  }
  for (const path of record.keys()) {
    if (!present.has(path) && !isRecordFile(path, distInfo)) problems.push(`\`${path}\` is listed but not there`)
  }
  if (problems.length === 0) return
  const [first = '', ...others] = problems
  throw new BuildError(
    'WHEEL_INVALID',
    `${archive.what}: its RECORD is wrong: ${first}${others.length === 0 ? '' : ` (and ${others.length} more)`}`,
    {
      hint: 'The wheel was damaged, altered or badly made. Ask for another release of the package.',
      data: { problems: problems.slice(0, 20) },
    },
  )
}

function recordProblem(entry: ZipEntry, row: RecordRow | undefined): string | undefined {
  if (row === undefined) return `\`${entry.name}\` is not listed`
  if (row.hash === undefined) return `\`${entry.name}\` has no hash`
  if (row.sizeBytes !== undefined && row.sizeBytes !== entry.sizeBytes) return `\`${entry.name}\` has another size`
  return undefined
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decode(bytes: Buffer, name: string, filename: string): string {
  // METADATA of old packages is in other encodings now and then; only its ASCII headers matter here.
  if (name === 'METADATA') return bytes.toString('utf8')
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new BuildError('WHEEL_INVALID', `${filename}: its ${name} is not UTF-8`, { cause })
  }
}

function invalid(filename: string, problem: string, hint?: string): BuildError {
  return new BuildError('WHEEL_INVALID', `${filename}: ${problem}`, { hint })
}
