import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { BuildError } from '../../core/errors.ts'

/**
 * Turns the inputs of one JSON object into `name=value` words: the text itself, `@file`, or `@-` for standard input.
 *
 * A file in it is written as on the command line, `@path`.
 *
 * @throws BuildError FILE_UNREADABLE, USAGE for what is no JSON object
 */
export function readJsonWords(text: string, folder: string): readonly string[] {
  return Object.entries(readJsonObject(text, folder)).map(
    ([name, member]) => `${name}=${typeof member === 'string' ? member : JSON.stringify(member)}`,
  )
}

/** The object itself. @throws BuildError FILE_UNREADABLE, USAGE for what is no JSON object */
export function readJsonObject(text: string, folder: string): Readonly<Record<string, unknown>> {
  const source = text.trim()
  const json = source.startsWith('@') ? read(source.slice(1), folder) : source
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new BuildError('USAGE', 'The inputs are not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BuildError('USAGE', 'The inputs are not a JSON object', { hint: 'Such as {"text": "you", "count": 3}.' })
  return { ...value }
}

function read(path: string, folder: string): string {
  try {
    return readFileSync(path === '-' ? 0 : resolve(folder, path), 'utf8')
  } catch (cause) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read the inputs: \`${path}\``, { cause })
  }
}
