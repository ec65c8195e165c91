import { BuildError } from '../core/errors.ts'
import table from './tables/interpreters.json' with { type: 'json' }

/** A relocatable CPython archive: `python/bin/python3.X` inside a tar.gz. */
export interface InterpreterArchive {
  /** Full version. */
  readonly version: string
  readonly architecture: 'amd64' | 'arm64'
  readonly url: string
  readonly sha256: string
}

/** Where interpreter archives come from. */
export interface InterpreterSources {
  /** Address that the table's paths lie under: the default, a mirror, or a `file:` folder. */
  readonly mirror: string
  /** Rows that go before the table's, from the user's own list. */
  readonly extra?: readonly InterpreterArchive[] | undefined
}

/**
 * Finds the newest archive that answers a version request: of the user's own list when one there does, else of the table.
 *
 * @param request  two or three parts: `3.12` takes the newest patch known
 * @returns undefined when no row fits
 */
export function findInterpreter(
  request: string,
  architecture: 'amd64' | 'arm64',
  sources: InterpreterSources,
): InterpreterArchive | undefined {
  const fits = (row: InterpreterArchive): boolean => row.architecture === architecture && answers(row.version, request)
  return newest((sources.extra ?? []).filter(fits)) ?? newest(tableRows(sources.mirror).filter(fits))
}

/** Minor versions that archives exist for, oldest first. */
export function knownMinors(architecture: 'amd64' | 'arm64', sources: InterpreterSources): string[] {
  const rows = [...(sources.extra ?? []), ...tableRows(sources.mirror)].filter(
    (row) => row.architecture === architecture,
  )
  const minors = new Set(rows.map((row) => row.version.split('.').slice(0, 2).join('.')))
  return [...minors].sort(compareVersions)
}

/**
 * Reads the user's own list of archives (`LAYERWRIGHT_INTERPRETERS`): JSON, an array of rows like the table's.
 *
 * @throws BuildError USAGE naming the row at fault
 */
export function parseInterpreterList(text: string, what: string): InterpreterArchive[] {
  const refuse = (detail: string): never => {
    throw new BuildError('USAGE', `${what} is not a list of interpreter archives: ${detail}`, {
      hint: 'Expected: [{"version": "3.12.11", "architecture": "amd64", "url": "file:///...tar.gz", "sha256": "..."}]',
    })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
  if (!Array.isArray(value)) return refuse('not an array')
  return value.map((row: Record<string, unknown>, position) => {
    const { version, architecture, url, sha256 } = row
    if (typeof version !== 'string' || !/^3\.\d+\.\d+$/.test(version)) return refuse(`row ${position + 1}, version`)
    if (architecture !== 'amd64' && architecture !== 'arm64') return refuse(`row ${position + 1}, architecture`)
    if (typeof url !== 'string' || !URL.canParse(url)) return refuse(`row ${position + 1}, url`)
    if (typeof sha256 !== 'string' || !/^[a-f0-9]{64}$/.test(sha256)) return refuse(`row ${position + 1}, sha256`)
    return { version, architecture, url, sha256 }
  })
}

function newest(rows: readonly InterpreterArchive[]): InterpreterArchive | undefined {
  return rows.toSorted((a, b) => compareVersions(a.version, b.version)).at(-1)
}

function tableRows(mirror: string): InterpreterArchive[] {
  const base = mirror.replace(/\/+$/, '')
  return table.rows.map(({ version, arch, path, sha256 }) => ({
    version,
    architecture: arch === 'arm64' ? ('arm64' as const) : ('amd64' as const),
    url: `${base}/${path}`,
    sha256,
  }))
}

function answers(version: string, request: string): boolean {
  return version === request || version.startsWith(`${request}.`)
}

function compareVersions(a: string, b: string): number {
  const left = a.split('.').map(Number)
  const right = b.split('.').map(Number)
  for (let part = 0; part < Math.max(left.length, right.length); part++) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
