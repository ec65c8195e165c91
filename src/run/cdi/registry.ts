import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parsePlainYaml } from '../../config/plain-yaml.ts'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { parseCdiSpec, type CdiEdits, type CdiSpec } from './spec.ts'

/** Where hosts keep CDI specifications; what lies in a later folder wins. */
export const CDI_FOLDERS = ['/etc/cdi', '/var/run/cdi']

/** The CDI specifications of a host. */
export interface CdiRegistry {
  /** Fully qualified names, such as `nvidia.com/gpu=0`, sorted. */
  readonly names: readonly string[]
  /** Files that could not be read or are invalid, with the reason. They matter once a device is missed. */
  readonly errors: readonly BuildError[]
  /**
   * What devices add to a container, in order; what a specification says for all its devices comes once, first.
   *
   * @throws BuildError HOST_UNSUPPORTED for an unknown device, or one that two files of a folder define
   */
  edits(names: readonly string[]): readonly CdiEdits[]
}

interface Entry {
  readonly spec: CdiSpec
  readonly edits: CdiEdits
  readonly file: string
  readonly folder: number
}

/** Reads the specifications of some folders; a folder that is not there has none. */
export function loadCdi(folders: readonly string[] = CDI_FOLDERS): CdiRegistry {
  const devices = new Map<string, Entry>()
  const conflicts = new Map<string, string[]>()
  const errors: BuildError[] = []
  for (const [index, folder] of folders.entries()) {
    for (const file of specFiles(folder)) {
      const spec = readSpec(file, errors)
      for (const device of spec?.devices ?? []) {
        if (spec === undefined) continue
        const name = `${spec.kind}=${device.name}`
        const other = devices.get(name)
        if (other?.folder === index) conflicts.set(name, [...(conflicts.get(name) ?? [other.file]), file])
        else conflicts.delete(name)
        devices.set(name, { spec, edits: device.containerEdits, file, folder: index })
      }
    }
  }
  return {
    names: [...devices.keys()].sort(),
    errors,
    edits: (names) => {
      const found = names.map((name) => {
        const entry = devices.get(name)
        if (entry === undefined) throw unknownDevice(name, [...devices.keys()].sort(), errors, folders)
        const files = conflicts.get(name)
        if (files === undefined) return entry
        throw new BuildError('HOST_UNSUPPORTED', `The device ${name} is defined more than once: ${files.join(', ')}`)
      })
      const specs = [...new Set(found.map(({ spec }) => spec))]
      return [...specs.flatMap((spec) => spec.containerEdits ?? []), ...found.map(({ edits }) => edits)]
    },
  }
}

function specFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /\.(json|yaml)$/.test(name))
      .sort()
      .map((name) => join(folder, name))
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return []
    throw error
  }
}

function readSpec(file: string, errors: BuildError[]): CdiSpec | undefined {
  try {
    return parseCdiSpec(parsePlainYaml(readFileSync(file, 'utf8')), file)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    errors.push(
      error instanceof BuildError
        ? error
        : new BuildError('HOST_UNSUPPORTED', `The CDI specification ${file} cannot be read: ${text}`, { cause: error }),
    )
    return undefined
  }
}

function unknownDevice(
  name: string,
  known: readonly string[],
  errors: readonly BuildError[],
  folders: readonly string[],
): BuildError {
  const broken = errors.map((error) => error.message)
  const hint = [
    known.length === 0
      ? `No devices are described in ${folders.join(' and ')}.`
      : `Known devices: ${known.join(', ')}.`,
    ...broken,
  ].join(' ')
  return new BuildError('HOST_UNSUPPORTED', `Unknown device: \`${name}\``, { hint, data: { known, errors: broken } })
}
