import { BuildError } from './errors.ts'

/** The last second that a tar header has room for: in the year 2242. */
const LAST_SECONDS = 8 ** 11 - 1

/**
 * The time that images and their files have, in seconds since the epoch; undefined where none is set.
 *
 * @throws BuildError USAGE when it is no such number, which the specification wants to be an error
 * @see https://reproducible-builds.org/specs/source-date-epoch/
 */
export function sourceDate(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const text = env['SOURCE_DATE_EPOCH'] || undefined
  if (text === undefined) return undefined
  if (/^\d{1,10}$/.test(text) && Number(text) <= LAST_SECONDS) return Number(text)
  throw new BuildError('USAGE', `SOURCE_DATE_EPOCH is not a number of seconds since 1970: \`${text}\``, {
    hint: `Give whole seconds from 0 to ${LAST_SECONDS}, such as of \`git log -1 --format=%ct\`, or leave it out.`,
  })
}
