import { createGunzip } from 'node:zlib'
import { GzipReader } from './gzip-reader.ts'
import { canInflateRaw } from './raw-inflater.ts'

/** Inflates a gzip file that is given in pieces. */
export interface Gunzip {
  /** The bytes may be used again once this resolves. @throws whatever is wrong with the data, or what the listener threw */
  write(chunk: Uint8Array): Promise<void>
  /** Resolves when the last byte was heard. */
  end(): Promise<void>
  /** Gives up. May be called at any time. */
  close(): void
}

/** Hears what was inflated. */
export type Hear = (chunk: Buffer) => Promise<void> | void

/**
 * Opens the best inflater there is: our own, else zlib.
 *
 * @param data hears what was inflated, in order; the memory is used again once it returns, or what it gives back is there
 */
export function openGunzip(data: Hear): Gunzip {
  return canInflateRaw() ? openOwn(data) : openZlib(data)
}

function openOwn(data: Hear): Gunzip {
  const reader = new GzipReader({ data })
  return {
    write: async (chunk) => {
      for (const heard of reader.write(chunk)) await heard
    },
    end: async () => {
      for (const heard of reader.end()) await heard
    },
    close: () => {},
  }
}

const OUTPUT_BYTES = 1 << 18

/** zlib inflates on a thread of its own while this one hears what came before. */
export function openZlib(data: Hear): Gunzip {
  const gunzip = createGunzip({ chunkSize: OUTPUT_BYTES })
  let failure: unknown
  /** What it gives out is memory of its own, so nothing waits for the listener but the end. */
  let hearing = Promise.resolve()
  const fail = (error: unknown): void => {
    failure ??= error
    gunzip.destroy()
  }
  gunzip.on('data', (chunk: Buffer) => {
    try {
      const heard = failure === undefined ? data(chunk) : undefined
      if (heard !== undefined) hearing = Promise.all([hearing, heard.catch(fail)]).then(() => {})
    } catch (error) {
      fail(error)
    }
  })
  gunzip.on('error', fail)
  const closed = new Promise<void>((resolve) => gunzip.once('close', resolve))
  const failed = (): void => {
    if (failure !== undefined) throw failure
  }
  return {
    write: async (chunk) => {
      failed()
      // An error reaches the 'error' listener as well, which keeps it.
      await Promise.race([new Promise<void>((resolve) => gunzip.write(chunk, () => resolve())), closed])
      failed()
    },
    end: async () => {
      failed()
      gunzip.end()
      await Promise.race([new Promise<void>((resolve) => gunzip.once('end', resolve)), closed])
      await hearing
      failed()
    },
    close: () => void gunzip.destroy(),
  }
}
