/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { createHash, type Hash } from 'node:crypto'
import type { MessagePort } from 'node:worker_threads'
import type { HashAnswer, HashRequest } from './messages.ts'

/** Hashes for another thread until the port closes. */
export function serveHashes(port: MessagePort): void {
  const answer = (message: HashAnswer): void => port.postMessage(message)
  const hashes = new Map<number, Hash>()
  port.on('message', (request: HashRequest) => {
    const { id } = request
    if (request.type === 'start') return void hashes.set(id, createHash(request.algorithm))
    const hash = hashes.get(id)
    if (hash === undefined) return
    if (request.type === 'bytes') {
      hash.update(request.bytes)
      return answer({ type: 'taken', id })
    }
    hashes.delete(id)
    if (request.type === 'end') answer({ type: 'digest', id, hex: hash.digest('hex') })
  })
}
