import { readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { nearest } from '../../core/suggest.ts'
import { asObject, type InputSchema, type Property } from './input-schema.ts'
import { describeLimits, problemOf } from './limits.ts'
import { mediaTypeOf } from './media-type.ts'

const MAX_FILE_BYTES = 2 ** 29

/**
 * Turns `name=value` words into the inputs of a prediction. A value is read as its input's type and held to its limits;
 * `@file` is the file as a data URI where the model takes a file, else its text; a list takes several words of the same
 * name, or one in JSON.
 *
 * @param schema undefined when unknown: then a value that is JSON is taken as that, else as text, and several of a name as a list
 * @throws BuildError USAGE for a word without `=`, INPUT_INVALID (all problems at once)
 */
export function parseInputs(
  words: readonly string[],
  schema: InputSchema | undefined,
  folder: string,
): Record<string, unknown> {
  const values = new Map<string, unknown[]>()
  const problems: string[] = []
  for (const word of words) {
    const equals = word.indexOf('=')
    if (equals <= 0) throw new BuildError('USAGE', `An input is \`name=value\` or \`name=@file\`, not: \`${word}\``)
    const name = word.slice(0, equals)
    const property = schema?.properties.get(name)
    if (schema !== undefined && property === undefined) {
      const near = nearest(name, schema.properties.keys())
      problems.push(`unknown input \`${name}\`${near === undefined ? '' : `, did you mean \`${near}\`?`}`)
      continue
    }
    const parsed = parseValue(name, word.slice(equals + 1), property, folder)
    if ('problem' in parsed) problems.push(`\`${name}\` ${parsed.problem}`)
    else values.set(name, [...(values.get(name) ?? []), parsed.value])
  }
  const inputs: Record<string, unknown> = {}
  for (const [name, given] of values) {
    const isList = schema?.properties.get(name)?.types.includes('array') === true
    if (isList) inputs[name] = given.flat()
    else if (given.length === 1) inputs[name] = given[0]
    else if (schema === undefined) inputs[name] = given
    else problems.push(`\`${name}\` is given ${given.length} times but takes one value`)
  }
  for (const name of schema?.required ?? []) {
    if (!values.has(name) && !problems.some((problem) => problem.includes(`\`${name}\``)))
      problems.push(`\`${name}\` is missing`)
  }
  if (problems.length > 0) {
    throw new BuildError('INPUT_INVALID', `The inputs do not fit the model: ${problems.join('; ')}`, {
      hint: schema === undefined ? undefined : `The model takes ${describe(schema)}.`,
      data: { problems },
    })
  }
  return inputs
}

function describe(schema: InputSchema): string {
  const names = [...schema.properties].map(([name, property]) => {
    const mark = schema.required.includes(name) ? '' : '?'
    return `${name}${mark} (${describeProperty(property)})`
  })
  return names.length === 0 ? 'no inputs' : names.join(', ')
}

function describeProperty({ types, items, isFile, limits }: Property): string {
  const isList = types.includes('array')
  const words = (isList ? items : types).filter((type) => type !== 'null')
  const one = describeLimits(limits) ?? (isFile ? 'file' : words.join(' or ') || 'anything')
  return isList ? `list of ${one}` : one
}

type Parsed = { readonly value: unknown } | { readonly problem: string }

function parseValue(name: string, text: string, property: Property | undefined, folder: string): Parsed {
  // What may be anything may be a file, and is told as one.
  const isFile = property === undefined || property.isFile || property.types.length === 0
  if (!text.startsWith('@')) return parseText(name, text, property, folder)
  const file = resolve(folder, text.slice(1))
  try {
    assertFits(file)
    return isFile ? { value: asDataUri(file) } : parseText(name, readFileSync(file, 'utf8'), property, folder)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === undefined) throw error
    return { problem: `names a file that cannot be read (${code}): ${file}` }
  }
}

function parseText(name: string, text: string, property: Property | undefined, folder: string): Parsed {
  if (property === undefined) return { value: parseJson(text)?.value ?? text }
  const isList = property.types.includes('array')
  const list = isList ? parseJson(text)?.value : undefined
  if (Array.isArray(list)) return parseMembers(name, list, property, folder)
  const types = isList ? property.items : property.types
  const fitting = types.map((type) => readAs(text, type)).find((value) => value !== undefined)
  const value = fitting ?? (types.length === 0 ? { value: parseJson(text)?.value ?? text } : undefined)
  if (value !== undefined) return check(name, value.value, property)
  return { problem: `takes ${types.join(' or ')}, not \`${shorten(text)}\`` }
}

/** A list in JSON; files in it are written as on the command line. */
function parseMembers(name: string, list: readonly unknown[], property: Property, folder: string): Parsed {
  const members: unknown[] = []
  for (const member of list) {
    const isNamed = property.isFile && typeof member === 'string' && member.startsWith('@')
    const parsed = isNamed ? parseValue(name, member, property, folder) : check(name, member, property)
    if ('problem' in parsed) return parsed
    members.push(parsed.value)
  }
  return { value: members }
}

function check(name: string, value: unknown, property: Property): Parsed {
  const problem = problemOf(value, property.limits) ?? (property.isFile ? problemOfFile(name, value) : undefined)
  return problem === undefined ? { value } : { problem }
}

/** A path without `@` would be looked for inside the container; only an absolute one can be meant so. */
function problemOfFile(name: string, value: unknown): string | undefined {
  if (typeof value !== 'string' || value.startsWith('/') || /^[a-z][a-z0-9+.-]*:/i.test(value)) return undefined
  return `takes a file, \`${name}=@${shorten(value)}\`, or a URL`
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

/** Reads a text as one JSON type; undefined when it is none. */
function readAs(text: string, type: string): { value: unknown } | undefined {
  const json = parseJson(text)
  switch (type) {
    case 'string':
      return { value: text }
    case 'integer':
      return typeof json?.value === 'number' && Number.isInteger(json.value) ? json : undefined
    case 'number':
      return typeof json?.value === 'number' ? json : undefined
    case 'boolean': {
      const word = text.toLowerCase()
      if (['true', '1', 'yes', 'on'].includes(word)) return { value: true }
      return ['false', '0', 'no', 'off'].includes(word) ? { value: false } : undefined
    }
    case 'object':
      return asObject(json?.value) === undefined ? undefined : json
    case 'array':
      return Array.isArray(json?.value) ? json : undefined
    case 'null':
      return text === 'null' ? { value: null } : undefined
    default:
      return undefined
  }
}

function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    // Most values are plain text.
    return undefined
  }
}

/** @throws BuildError INPUT_INVALID for a file that no request can hold */
function assertFits(file: string): void {
  const { size } = statSync(file)
  if (size <= MAX_FILE_BYTES) return
  throw new BuildError('INPUT_INVALID', `A file of ${size} bytes does not fit into a request: ${file}`, {
    hint: 'Give the model a URL instead.',
  })
}

/** With its name, so that the model's file has it too; Cog's server takes no notice of it. */
function asDataUri(file: string): string {
  const name = basename(file)
  return `data:${mediaTypeOf(name)};name=${encodeURIComponent(name)};base64,${readFileSync(file).toString('base64')}`
}
