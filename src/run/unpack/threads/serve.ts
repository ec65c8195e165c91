/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import type { MessagePort } from 'node:worker_threads'
import { BuildError } from '../../../core/errors.ts'
import { DependentLayerError } from '../dependent-layer.ts'
import { unpackLayer } from '../unpack-layer.ts'
import type { SentUnpackError, UnpackAnswer, UnpackRequest } from './messages.ts'

/** Chunks that may be under way to this thread. */
const WINDOW = 8

/** Unpacks the layers that come over a port, one after the other. */
export function serveUnpacking(port: MessagePort): void {
  let feed: Feed | undefined
  const answer = (message: UnpackAnswer): void => port.postMessage(message)
  port.on('message', (request: UnpackRequest) => {
    switch (request.type) {
      case 'start':
        feed = new Feed(() => answer({ type: 'need' }))
        return void unpack(request, feed, answer)
      case 'chunk':
        return feed?.push(request.bytes)
      case 'end':
        return feed?.push(undefined)
    }
  })
}

async function unpack(
  { folder, layer, options }: Extract<UnpackRequest, { type: 'start' }>,
  feed: Feed,
  answer: (message: UnpackAnswer) => void,
): Promise<void> {
  try {
    const note = (text: string): void => answer({ type: 'note', text })
    const result = await unpackLayer(folder, { ...layer, open: () => feed.chunks() }, { ...options, note })
    answer({ type: 'done', result })
  } catch (error) {
    answer({ type: 'failed', error: toSent(error) })
  }
}

/** Chunks that were asked for and came; `undefined` is the end. */
class Feed {
  readonly #need: () => void
  readonly #chunks: (Uint8Array | undefined)[] = []
  #wake: () => void = () => {}

  constructor(need: () => void) {
    this.#need = need
  }

  push(chunk: Uint8Array | undefined): void {
    this.#chunks.push(chunk)
    this.#wake()
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < WINDOW; count++) this.#need()
    for (;;) {
      while (this.#chunks.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
      const chunk = this.#chunks.shift()
      if (chunk === undefined) return
      this.#need()
      yield chunk
    }
  }
}

function toSent(error: unknown): SentUnpackError {
  if (error instanceof BuildError) {
    const { code, message, hint, data } = error
    return { kind: 'build', code, message, hint, data }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { kind: error instanceof DependentLayerError ? 'dependent' : 'other', message }
}
