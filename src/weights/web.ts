import { posix } from 'node:path'
import { pathProblem } from '../core/archive-path.ts'
import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import { decodePercent } from '../core/percent.ts'
import { fileSize, learn, probe } from './learn.ts'
import type { ListWeights } from './source.ts'

/** A file by its address. Its digest is stated in the fragment, or learned by fetching the file once. */
export const listWeb: ListWeights<'web'> = async ({ url, sha256 }, context) => ({
  files: [
    {
      path: nameOf(url),
      url,
      identify: async () => {
        const headers = await context.headers(url)
        const facts = await probe(url, headers, context)
        return sha256 === undefined ? learn(url, facts, headers, context) : { sizeBytes: fileSize(url, facts), sha256 }
      },
    },
  ],
})

function nameOf(url: string): string {
  const name = decodePercent(posix.basename(new URL(url).pathname))
  if (name !== '' && !name.includes('/') && pathProblem(name) === undefined) return name
  throw new BuildError('WEIGHTS_NOT_FOUND', `The address ends with no name of a file: ${maskUrl(url)}`)
}
