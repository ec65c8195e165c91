import { BuildError } from '../../core/errors.ts'
import { maskUrl } from '../../core/http.ts'

/** The error for an HTTP status of an index or of the server of its files. */
export function indexError(status: number, url: string): BuildError {
  const data = { status, url: maskUrl(url) }
  if (status === 401 || status === 403) {
    return new BuildError('INDEX_DENIED', `The package index refused access (${status}): ${maskUrl(url)}`, {
      hint: DENIED_HINT,
      data,
    })
  }
  if (status === 429 || status >= 500) {
    return new BuildError('INDEX_UNAVAILABLE', `The package index failed for now (${status}): ${maskUrl(url)}`, {
      hint: 'Try again later, or name another index.',
      data,
    })
  }
  return new BuildError('INDEX_FAILED', `The package index answered ${status}: ${maskUrl(url)}`, { data })
}

/**
 * The same failure, with what was looked for and which setting leads there; anything but a {@link BuildError} as it is.
 *
 * @param isPinned  whether this index alone may serve the package
 */
export function unansweredFor(name: string, index: string, isPinned: boolean, error: unknown): unknown {
  if (!(error instanceof BuildError)) return error
  const setting = isPinned
    ? `\`${name}\` is taken from this index alone. Another one, such as a mirror of it, is named in \`build.python_index.packages\`: \`${name}: URL\`.`
    : 'Indexes are named in `build.python_index` (`url`, `extra_urls`), and by the settings of pip and uv.'
  return new BuildError(error.code, `Cannot look for \`${name}\`: ${error.message}`, {
    hint: error.hint === undefined ? setting : `${error.hint}\n${setting}`,
    data: { ...error.data, package: name, index: maskUrl(index) },
    cause: error.cause,
  })
}

/** What to do about a 401 or 403. */
const DENIED_HINT =
  'Give credentials in the index URL, in netrc, or as UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD.'
