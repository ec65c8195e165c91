import { BuildError } from '../../../core/errors.ts'
import { occupyProcessor, threadsOf } from '../../../core/processors.ts'
import { threadStarter, type Thread } from '../../../core/thread.ts'
import type { ApplyResult } from '../apply-layer.ts'
import { DependentLayerError } from '../dependent-layer.ts'
import type { UnpackableLayer, UnpackOptions } from '../unpack-layer.ts'
import type { SentUnpackError, UnpackAnswer, UnpackRequest } from './messages.ts'

/** More only wait for the disk. */
const MOST_THREADS = 4

/** A thread that unpacks; another end of messages will do in tests. */
export type UnpackThread = Thread<UnpackRequest, UnpackAnswer>

/** Threads that unpack layers side by side. */
export interface UnpackPool {
  /** How many layers are unpacked at once; more calls than these are a mistake of the caller. */
  readonly size: number
  /** As `unpackLayer`, in a thread that is free. */
  unpack(folder: string, layer: UnpackableLayer, options: UnpackOptions): Promise<ApplyResult>
  /** Ends all threads. */
  close(): Promise<void>
}

/** What a pool is made with. */
export interface UnpackPoolOptions {
  /** One for each processor, four at most, unless given. */
  readonly size?: number | undefined
  readonly start?: (() => UnpackThread) | undefined
}

/**
 * Makes a pool of threads; they start when they are first needed.
 *
 * A pool apart from that of `layers/workers`, whose threads take turns between several layers: these write files by calls that
 * block, one layer at a time, and one that failed is ended, since nothing but its end says that it writes no more. The two hardly
 * ever run at once: a platform has its layers when a command of it starts.
 *
 * @returns undefined where the thread's program is not there (sources run without a build): unpack on the own thread then
 */
export function makeUnpackPool(options: UnpackPoolOptions = {}): UnpackPool | undefined {
  const start =
    options.start ?? threadStarter(new URL('./unpack-worker.js', import.meta.url), { maxYoungGenerationSizeMb: 4 })
  if (start === undefined) return undefined
  const members = new Set<Member>()
  const free: Member[] = []
  return {
    size: options.size ?? threadsOf(MOST_THREADS),
    unpack: async (folder, layer, options) => {
      const member = free.pop() ?? makeMember(start())
      members.add(member)
      try {
        const result = await unpackOn(member, folder, layer, options)
        free.push(member)
        return result
      } catch (error) {
        // It may still be writing; nothing may follow the answer of a failure.
        await member.thread.close()
        members.delete(member)
        throw error
      }
    },
    close: async () => void (await Promise.all([...members].map(({ thread }) => thread.close()))),
  }
}

/** A thread, and who hears of the layer that it has now. */
interface Member {
  readonly thread: UnpackThread
  take: (answer: UnpackAnswer) => void
  fail: (error: unknown) => void
}

function makeMember(thread: UnpackThread): Member {
  const member: Member = { thread, take: () => {}, fail: () => {} }
  thread.onAnswer((answer) => member.take(answer))
  thread.onEnd((error) => member.fail(error ?? new Error('The unpacking thread ended early')))
  return member
}

async function unpackOn(
  member: Member,
  folder: string,
  { descriptor, diffId, open }: UnpackableLayer,
  { note, signal, ...options }: UnpackOptions,
): Promise<ApplyResult> {
  const input = open({ signal })[Symbol.asyncIterator]()
  const { thread } = member
  const release = occupyProcessor()
  thread.hold(true)
  try {
    return await new Promise((resolve, reject) => {
      let feeding = Promise.resolve()
      const feed = async (): Promise<void> => {
        const next = await input.next()
        thread.send(next.done === true ? { type: 'end' } : { type: 'chunk', bytes: next.value })
      }
      member.fail = reject
      member.take = (answer) => {
        switch (answer.type) {
          case 'need':
            feeding = feeding.then(feed).catch(reject)
            return
          case 'note':
            return note?.(answer.text)
          case 'done':
            return resolve(answer.result)
          case 'failed':
            return reject(fromSent(answer.error))
        }
      }
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      thread.send({ type: 'start', folder, layer: { descriptor, diffId }, options })
    })
  } finally {
    thread.hold(false)
    release()
    await input.return?.()
  }
}

function fromSent({ kind, code, message, hint, data }: SentUnpackError): Error {
  if (kind === 'dependent') return new DependentLayerError(message)
  return code === undefined ? new Error(message) : new BuildError(code, message, { hint, data })
}
