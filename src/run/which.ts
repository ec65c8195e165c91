import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

/** Folders of administrators' programs, which a user's PATH often lacks. */
const MORE = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** The path of a program, searched as a shell does and then in the system's usual folders. */
export function which(name: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  const folders = [...(env['PATH'] ?? '').split(delimiter), ...MORE].filter(isAbsolute)
  return folders.map((folder) => join(folder, name)).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    // A question, and this is its answer.
    return false
  }
}
