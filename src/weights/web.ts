import { posix } from 'node:path'
import { fileSize, learn, probe } from './learn.ts'
import type { ListWeights } from './source.ts'

/** A file by its address. Its digest is stated in the fragment, or learned by fetching the file once. */
export const listWeb: ListWeights<'web'> = async ({ url, sha256 }, context) => ({
  files: [
    {
      path: decodeURIComponent(posix.basename(new URL(url).pathname)),
      url,
      identify: async () => {
        const headers = await context.headers(url)
        const facts = await probe(url, headers, context)
        return sha256 === undefined ? learn(url, facts, headers, context) : { sizeBytes: fileSize(url, facts), sha256 }
      },
    },
  ],
})
