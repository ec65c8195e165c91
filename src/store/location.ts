import { accessSync, constants, mkdirSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'

/** What decides where the store lies. */
export interface LocationInput {
  readonly env: Readonly<Record<string, string | undefined>>
  /** May throw: a user id without a passwd entry and HOME unset is common in containers. */
  readonly home?: (() => string) | undefined
}

/**
 * The folder of the local store: the first of these that is set and can be written.
 *
 * `LAYERWRIGHT_CACHE` (taken as it is), `XDG_CACHE_HOME`, the home's `.cache`, the CI's own cache folders, the
 * temporary folder. An odd HOME never makes this fail.
 */
export function storeLocation(input: LocationInput = { env: process.env }): string {
  const { env } = input
  if (env['LAYERWRIGHT_CACHE']) return resolve(env['LAYERWRIGHT_CACHE'])
  const candidates = [
    env['XDG_CACHE_HOME'],
    join(readHome(input) ?? '', '.cache'),
    env['RUNNER_TEMP'],
    env['CI_PROJECT_DIR'] && join(env['CI_PROJECT_DIR'], '.cache'),
    tmpdir(),
  ]
  for (const candidate of candidates) {
    if (!candidate || !isAbsolute(candidate)) continue
    const folder = join(candidate, 'layerwright')
    if (isWritable(folder)) return folder
  }
  return join(tmpdir(), 'layerwright')
}

function readHome(input: LocationInput): string | undefined {
  try {
    return input.home === undefined ? homedir() : input.home()
  } catch {
    // No HOME and no passwd entry: there is no home, which is an answer.
    return undefined
  }
}

function isWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
