import { accessSync, constants, lstatSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { BuildError } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'

/** What decides where the store lies. */
export interface LocationInput {
  readonly env: Readonly<Record<string, string | undefined>>
  /** May throw: a user id without a passwd entry and HOME unset is common in containers. */
  readonly home?: (() => string) | undefined
  /** Where everybody may write; the machine's unless given. */
  readonly temporaryFolder?: string | undefined
}

/**
 * The folder of the local store: the first of these that is set and can be written.
 *
 * `LAYERWRIGHT_CACHE` (taken as it is), `XDG_CACHE_HOME`, the home's `.cache`, the CI's own cache folders, a folder of
 * this user's own among the temporary ones. An odd HOME never makes this fail.
 *
 * @throws BuildError FILE_UNWRITABLE when somebody else has made the last of them
 */
export async function storeLocation(input: LocationInput = { env: process.env }): Promise<string> {
  const { env } = input
  if (env['LAYERWRIGHT_CACHE']) return resolve(env['LAYERWRIGHT_CACHE'])
  const candidates = [
    env['XDG_CACHE_HOME'],
    join(readHome(input) ?? '', '.cache'),
    env['RUNNER_TEMP'],
    env['CI_PROJECT_DIR'] && join(env['CI_PROJECT_DIR'], '.cache'),
  ]
  for (const candidate of candidates) {
    if (!candidate || !isAbsolute(candidate)) continue
    const folder = join(candidate, 'layerwright')
    if (await isWritable(folder)) return folder
  }
  return temporaryLocation(input.temporaryFolder ?? tmpdir())
}

/** What the store holds is believed, and anybody can make a folder here. */
async function temporaryLocation(temporary: string): Promise<string> {
  const user = process.getuid?.()
  const folder = join(temporary, user === undefined ? 'layerwright' : `layerwright-${user}`)
  if (!(await isWritable(folder))) return folder
  const found = lstatSync(folder)
  if (user === undefined || (found.isDirectory() && found.uid === user)) return folder
  throw new BuildError('FILE_UNWRITABLE', `The folder of the local store belongs to somebody else: \`${folder}\``, {
    hint: 'Name a folder of your own in LAYERWRIGHT_CACHE.',
  })
}

function readHome(input: LocationInput): string | undefined {
  try {
    return input.home === undefined ? homedir() : input.home()
  } catch {
    // No HOME and no passwd entry: there is no home, which is an answer.
    return undefined
  }
}

async function isWritable(folder: string): Promise<boolean> {
  try {
    await makeFolder(folder)
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    // A question, and this is its answer: another place is looked for.
    return false
  }
}
