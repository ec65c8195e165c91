import { MessageChannel } from 'node:worker_threads'
import type { CheckThread } from '../../layers/workers/pool.ts'
import { serveChecks } from '../../layers/workers/serve.ts'

/** A thread that is none: the other end of a channel in the same process. */
export function channelThread(
  ends: ((error: unknown) => void)[] = [],
  online: Promise<void> = Promise.resolve(),
): CheckThread {
  const { port1, port2 } = new MessageChannel()
  serveChecks(port2)
  return {
    online,
    send: (request, transfer) => port1.postMessage(request, transfer ?? []),
    onAnswer: (listener) => void port1.on('message', listener),
    onEnd: (listener) => void ends.push(listener),
    hold: () => {},
    close: async () => {
      port1.close()
      port2.close()
      for (const end of ends) end(undefined)
    },
  }
}
