/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import type { MessagePort } from 'node:worker_threads'
import { threadLanes, type LaneUser, type StreamHash } from '../sha256/lanes.ts'
import type { HashAnswer, HashRequest } from './messages.ts'

/** Hashes for another thread until the port closes. */
export function serveHashes(port: MessagePort): void {
  port.on(
    'message',
    hashRequests((answer) => port.postMessage(answer)),
  )
}

/** A stream that is hashed, beside the others of this thread. */
interface Served {
  readonly user: LaneUser
  readonly hash: StreamHash
  /** Resolves when what came last was taken, and that is said. */
  settling: Promise<void> | undefined
}

/** Takes requests to hash, and answers them. */
export function hashRequests(answer: (answer: HashAnswer) => void): (request: HashRequest) => void {
  const served = new Map<number, Served>()
  const close = (id: number, { user, hash }: Served): void => {
    served.delete(id)
    hash.close()
    user.close()
  }
  return (request) => {
    const { id } = request
    if (request.type === 'start') {
      // It only delays the next bytes of its stream, of which some are under way meanwhile.
      const user = threadLanes().user({ isPatient: true })
      return void served.set(id, { user, hash: user.open(request.algorithm), settling: undefined })
    }
    const stream = served.get(id)
    if (stream === undefined) return
    if (request.type === 'close') return close(id, stream)
    if (request.type === 'bytes') {
      stream.hash.update(request.bytes)
      const taken = (): void => answer({ type: 'taken', id })
      stream.settling = stream.user.settled()?.then(taken)
      return stream.settling === undefined ? taken() : undefined
    }
    const finish = (): void => {
      answer({ type: 'digest', id, hex: stream.hash.digest().toString('hex') })
      close(id, stream)
    }
    return stream.settling === undefined ? finish() : void stream.settling.then(finish)
  }
}
