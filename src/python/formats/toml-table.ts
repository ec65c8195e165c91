import { parse } from 'smol-toml'
import { BuildError } from '../../core/errors.ts'

/** A TOML table whose shape is not known yet. */
export type Table = Readonly<Record<string, unknown>>

/** Parses TOML. @throws BuildError PROJECT_INVALID with file and line */
export function parseTable(text: string, file: string): Table {
  try {
    return parse(text)
  } catch (cause) {
    const { line, message } = cause as { readonly line?: number; readonly message?: string }
    const reason = (message ?? String(cause)).split('\n')[0]
    throw new BuildError('PROJECT_INVALID', `${file}${line === undefined ? '' : `:${line}`}: ${reason}`, { cause })
  }
}

/** A member that is a table, else undefined. */
export function tableAt(table: Table | undefined, key: string): Table | undefined {
  return toTable(table?.[key])
}

/** A member that is an array of tables; empty when absent. Other members are left out. */
export function tablesAt(table: Table | undefined, key: string): readonly Table[] {
  const value: unknown = table?.[key]
  if (!Array.isArray(value)) return []
  return value.map(toTable).filter((item) => item !== undefined)
}

/** A member that is a string, else undefined. */
export function textAt(table: Table | undefined, key: string): string | undefined {
  const value = table?.[key]
  return typeof value === 'string' ? value : undefined
}

/** A member that is an array of strings, else undefined. */
export function textsAt(table: Table | undefined, key: string): readonly string[] | undefined {
  const value = table?.[key]
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined
}

function toTable(value: unknown): Table | undefined {
  const isTable = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  return isTable ? (value as Table) : undefined
}
