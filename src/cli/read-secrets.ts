import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { secretVariable, type Secret } from '../build/secrets.ts'
import { BuildError } from '../core/errors.ts'
import { nearest } from '../core/suggest.ts'
import type { Io } from './command.ts'

/** What a `--secret` may say; the same as with BuildKit. */
const PARTS = ['id', 'src', 'source', 'env', 'type']
const FORMS = 'Forms: `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, and `id=NAME` for the variable or file of that name.'

/**
 * What `--secret` names, by id. Looked for at once: the step that needs one may come after gigabytes of packages.
 *
 * @param words  comma-separated parts, a part with a comma in double quotes; files are relative to `cwd`
 * @throws BuildError USAGE for another form, a file or variable that is not there, and an id that is given twice
 */
export async function readSecrets(
  words: readonly string[],
  { cwd, env }: Pick<Io, 'cwd' | 'env'>,
): Promise<ReadonlyMap<string, Secret>> {
  const secrets = new Map<string, Secret>()
  for (const word of words) {
    const parts = readParts(word)
    const id = parts.get('id')
    if (!id) throw refused('has no `id`')
    if (secrets.has(id)) throw new BuildError('USAGE', `The secret \`${id}\` is given twice`)
    secrets.set(id, await readSecret(id, parts, { cwd, env }))
  }
  return secrets
}

/** No message holds a value of a part that is not known: somebody may have written the secret itself there. */
function readParts(word: string): ReadonlyMap<string, string> {
  const parts = new Map<string, string>()
  for (const part of splitParts(word)) {
    const [, key, value] = /^\s*([A-Za-z]+)=(.*)$/s.exec(part) ?? []
    if (key === undefined || value === undefined) throw refused('has a part that is no `key=value`')
    const name = key.toLowerCase()
    if (!PARTS.includes(name)) throw refused(`has an unknown part, \`${name}\``, nearest(name, PARTS))
    const known = name === 'source' ? 'src' : name
    if (parts.has(known)) throw refused(`has two parts \`${known}\``)
    parts.set(known, value)
  }
  return parts
}

async function readSecret(
  id: string,
  parts: ReadonlyMap<string, string>,
  { cwd, env }: Pick<Io, 'cwd' | 'env'>,
): Promise<Secret> {
  const [type, source] = [parts.get('type'), parts.get('src')]
  if (type !== undefined && type !== 'file' && type !== 'env')
    throw refused('has a type that is neither `file` nor `env`')
  // As BuildKit reads it: with `type=env`, a source is the name of a variable.
  const variable = parts.get('env') ?? (type === 'env' ? source : undefined)
  if (variable !== undefined && (type === 'file' || (source !== undefined && variable !== source)))
    throw refused('names both a file and a variable')
  if (variable === '' || source === '') throw refused('names nothing')
  if (variable !== undefined || (type !== 'file' && source === undefined && env[id] !== undefined)) {
    const name = variable ?? id
    secretVariable(id, name, env)
    return { kind: 'variable', name }
  }
  if (type === 'env') throw refused('has no `env`')
  const path = resolve(cwd, source ?? id)
  await assertFile(id, path, source === undefined && type === undefined)
  return { kind: 'file', path }
}

async function assertFile(id: string, file: string, isBare: boolean): Promise<void> {
  const found = await stat(file).catch((cause: unknown) => {
    if (isBare)
      throw new BuildError('USAGE', `The secret \`${id}\` is neither a variable nor a file here`, { hint: FORMS })
    throw new BuildError('USAGE', `The file of the secret \`${id}\` cannot be read: ${file}`, { cause })
  })
  if (found.isDirectory()) throw new BuildError('USAGE', `The secret \`${id}\` is a folder, not a file: ${file}`)
}

/** Splits at commas outside of double quotes; a quote within quotes is doubled, as in CSV. */
function splitParts(word: string): string[] {
  const parts = word.match(/(?:"(?:[^"]|"")*"|[^,"])+/g) ?? []
  return parts.map((part) => part.replaceAll(/"((?:[^"]|"")*)"/g, (_, quoted: string) => quoted.replaceAll('""', '"')))
}

function refused(what: string, meant?: string): BuildError {
  const hint = meant === undefined ? FORMS : `Did you mean \`${meant}\`? ${FORMS}`
  return new BuildError('USAGE', `A --secret ${what}`, { hint })
}
