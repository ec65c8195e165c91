import { parseInputs } from '../run/predict/inputs.ts'
import { readJsonObject } from '../run/predict/json-inputs.ts'

/**
 * The input of a queued job. What the model takes is not known here: a value that is JSON is taken as that, several of a name
 * are a list, and `@file` is a file; words go before members of the object.
 *
 * @param json  an object, or the file with one
 * @throws BuildError USAGE, FILE_UNREADABLE, INPUT_INVALID (a file that cannot be read)
 */
export function readJobInput(
  json: string | undefined,
  words: readonly string[],
  folder: string,
): Readonly<Record<string, unknown>> {
  const withFiles = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(withFiles)
    if (typeof value !== 'string' || !value.startsWith('@')) return value
    return parseInputs([`file=${value}`], undefined, folder)['file']
  }
  const source = json === undefined || /^\s*[{@]/.test(json) ? json : `@${json}`
  const members = Object.entries(source === undefined ? {} : readJsonObject(source, folder))
  const object = Object.fromEntries(members.map(([name, value]) => [name, withFiles(value)]))
  return { ...object, ...parseInputs(words, undefined, folder) }
}
