import type { MessagePort } from 'node:worker_threads'
import { hashRequests } from '../../src/core/hash-thread/serve.ts'
import { BuildError } from '../../src/core/errors.ts'
import { compressTar } from '../compress-check.ts'
import { checkLayer, type LayerCheck } from '../layer-check.ts'
import type { CheckAnswer, CheckRequest, SentError, ThreadTask } from './messages.ts'

/** Output that may wait in a thread for memory: a frame of zstd at least, which is put out whole. */
const BEHIND_BYTES = 5 << 20

/** Runs checks for another thread until the port closes. */
export function serveChecks(port: MessagePort): void {
  const answer = (message: CheckAnswer, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer)
  const checks = new Map<number, { readonly check: LayerCheck; last: Promise<void> }>()
  // Steps of one check run one after another; a failed one ends it, and what was sent meanwhile is let go.
  const step = (id: number, work: (check: LayerCheck) => Promise<void>): void => {
    const running = checks.get(id)
    if (running === undefined) return
    running.last = running.last.then(async () => {
      if (!checks.has(id)) return
      try {
        await work(running.check)
      } catch (error) {
        checks.delete(id)
        running.check.close()
        answer({ type: 'failed', id, error: sendable(error) })
      }
    })
  }
  const sendMade = (id: number, check: LayerCheck, moreThan = 0): void => {
    for (const made of check.made(moreThan)) {
      // Small buffers share memory that cannot be given away.
      const bytes = made.byteLength === made.buffer.byteLength ? made : new Uint8Array(made)
      answer({ type: 'made', id, bytes }, [bytes.buffer as ArrayBuffer])
    }
  }
  const hash = hashRequests((hashed) => answer({ type: 'hashed', answer: hashed }))
  port.on('message', (request: CheckRequest) => {
    if (request.type === 'hash') return hash(request.request)
    const { id } = request
    switch (request.type) {
      case 'start':
        checks.set(id, { check: openTask(request.task), last: Promise.resolve() })
        return
      case 'chunk':
        step(id, async (check) => {
          await check.write(request.bytes)
          const { bytes } = request
          const madeBytes = check.madeInto?.(new Uint8Array(bytes.buffer))
          answer({ type: 'taken', id, bytes, madeBytes }, [bytes.buffer])
          // What is put out travels in the memory of what was taken in, unless it is much more.
          if (madeBytes !== undefined) sendMade(id, check, BEHIND_BYTES)
        })
        return
      case 'end':
        step(id, async (check) => {
          const findings = await check.end()
          sendMade(id, check)
          answer(
            { type: 'done', id, findings },
            findings.ztoc?.flatMap((part) => (part instanceof Uint8Array ? [part.buffer] : [])),
          )
          checks.delete(id)
        })
        return
      case 'close':
        checks.get(id)?.check.close()
        checks.delete(id)
    }
  })
}

function openTask(task: ThreadTask): LayerCheck {
  return 'compress' in task ? compressTar(task) : checkLayer(task)
}

function sendable(error: unknown): SentError {
  if (error instanceof BuildError) return { code: error.code, message: error.message, hint: error.hint }
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}
