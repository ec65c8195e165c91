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

/** What to do about a 401 or 403. */
const DENIED_HINT =
  'Give credentials in the index URL, in netrc, or as UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD.'
