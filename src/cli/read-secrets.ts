import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { BuildError } from '../core/errors.ts'

/**
 * The files of `--secret`, by id. Looked for at once: the step that needs one may come after gigabytes of packages.
 *
 * @param words  each `id=NAME,src=FILE`, the file relative to `cwd`
 * @throws BuildError USAGE for another form, a file that is not there, and an id that is given twice
 */
export async function readSecrets(words: readonly string[], cwd: string): Promise<ReadonlyMap<string, string>> {
  const secrets = new Map<string, string>()
  for (const word of words) {
    const parts = new Map(word.split(',').map((part) => [part.split('=')[0], part.slice(part.indexOf('=') + 1)]))
    const [id, source] = [parts.get('id'), parts.get('src') ?? parts.get('source')]
    if (!id || !source) throw new BuildError('USAGE', 'A secret is given as `--secret id=NAME,src=FILE`')
    if (secrets.has(id)) throw new BuildError('USAGE', `The secret \`${id}\` is given twice`)
    const file = resolve(cwd, source)
    await assertFile(id, file)
    secrets.set(id, file)
  }
  return secrets
}

async function assertFile(id: string, file: string): Promise<void> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new BuildError('USAGE', `The file of the secret \`${id}\` cannot be read: ${file}`, { cause })
  })
  if (found.isDirectory()) throw new BuildError('USAGE', `The secret \`${id}\` is a folder, not a file: ${file}`)
}
