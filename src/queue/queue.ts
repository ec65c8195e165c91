import { randomUUID } from 'node:crypto'
import { BuildError } from '../core/errors.ts'
import { connect, type Connection } from './connect.ts'
import { parseQueueUrl } from './queue-url.ts'

/**
 * A queue of predictions as the worker in the image reads it: a Redis stream whose consumer group has its name, a hash
 * `<stream>:p:<id>` per job and the dead letters in `<stream>:dead` (see `docs/reference/queue.md`).
 */
export interface Queue {
  /**
   * Adds a job; its id is made unless given.
   *
   * @throws BuildError INPUT_INVALID when the id is in use, QUEUE_FULL when `maximum` jobs wait already
   */
  submit(job: JobRequest, maximum?: number): Promise<string>
  /** What is known of a job; undefined when there is none, or its state has expired. */
  status(id: string): Promise<JobState | undefined>
  /** Asks for the end of a waiting or running job; false when there is no such job, or it has ended. */
  cancel(id: string): Promise<boolean>
  /** The dead letters, oldest first. */
  listDead(): Promise<readonly DeadLetter[]>
  /** Puts dead letters back into the queue: one by its entry or job id, or `all`. Gives the number back. */
  retryDead(which: string): Promise<number>
  /** Ends the connection. */
  close(): Promise<void>
}

/** A job as it is submitted. */
export interface JobRequest {
  readonly id?: string | undefined
  readonly input: Readonly<Record<string, unknown>>
  readonly webhook?: string | undefined
  /** One of several models or pipelines of the worker's image. */
  readonly model?: string | undefined
}

/** A job's state: the prediction object, and the deliveries so far. */
export interface JobState {
  readonly id: string
  readonly status: string
  readonly deliveries: number
  readonly prediction: unknown
}

/** A job that was given up. */
export interface DeadLetter {
  readonly entry: string
  readonly id: string
  readonly reason: string
  readonly deliveries: number
  readonly failedAt: string
}

const ENDED = new Set(['succeeded', 'failed', 'canceled'])
const KEEP_SECONDS = 86_400

/** Job, hash and stream change together or not at all; the worker's own scripts do the rest. */
const SUBMIT = `
local stream, hash = KEYS[1], KEYS[2]
if redis.call('EXISTS', hash) == 1 then return 'exists' end
local maximum = tonumber(ARGV[1])
if maximum > 0 and redis.call('XLEN', stream) >= maximum then return 'full' end
redis.call('HSET', hash, 'status', 'starting', 'state', ARGV[3])
redis.call('EXPIRE', hash, tonumber(ARGV[4]))
return redis.call('XADD', stream, '*', 'value', ARGV[2])
`

/** The message goes back as it came: what is not UTF-8 would not survive the way here. */
const RETRY = `
local stream, dead, hash, entry = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local found = redis.call('XRANGE', dead, entry, entry)
if #found == 0 then return 0 end
local fields, value = found[1][2], ''
for i = 1, #fields, 2 do if fields[i] == 'value' then value = fields[i + 1] end end
redis.call('DEL', hash, hash .. ':events', hash .. ':cancel')
redis.call('XADD', stream, '*', 'value', value)
redis.call('XDEL', dead, entry)
return 1
`

/**
 * Connects to a queue.
 *
 * @param url  as the worker has it: of a server, of a cluster's nodes or of sentinels
 * @throws BuildError USAGE for a URL that cannot be used, NETWORK_FAILED when nobody answers
 */
export async function openQueue(url: string, stream: string): Promise<Queue> {
  if (parseQueueUrl(url).kind === 'cluster' && !/\{[^}]+\}/.test(stream)) {
    throw new BuildError('USAGE', `On a cluster the stream's name needs a hash tag: \`${stream}\``, {
      hint: `Name it \`{${stream}}\`, here and in the worker's LAYERWRIGHT_QUEUE_NAME.`,
    })
  }
  return new RedisQueue(await connect(url), stream)
}

class RedisQueue implements Queue {
  readonly #client: Connection
  readonly #stream: string
  readonly #dead: string

  constructor(client: Connection, stream: string) {
    this.#client = client
    this.#stream = stream
    this.#dead = `${stream}:dead`
  }

  async submit({ id = randomUUID(), input, webhook, model }: JobRequest, maximum = 0): Promise<string> {
    const created = new Date().toISOString()
    const message = {
      id,
      input,
      created_at: created,
      ...(webhook === undefined ? {} : { webhook }),
      ...(model === undefined ? {} : { model }),
    }
    const state = JSON.stringify({ id, status: 'starting', created_at: created })
    const answer = await this.#client.eval(SUBMIT, {
      keys: [this.#stream, this.#hashOf(id)],
      arguments: [String(maximum), JSON.stringify(message), state, String(KEEP_SECONDS)],
    })
    if (answer === 'exists') throw new BuildError('INPUT_INVALID', `There is a job with this id: \`${id}\``)
    if (answer === 'full') {
      throw new BuildError('QUEUE_FULL', `The queue holds ${maximum} jobs or more: \`${this.#stream}\``, {
        hint: 'Submit again later, or start more workers.',
      })
    }
    return id
  }

  async status(id: string): Promise<JobState | undefined> {
    const fields = await this.#client.hGetAll(this.#hashOf(id))
    if (fields['status'] === undefined) return undefined
    return {
      id,
      status: fields['status'],
      deliveries: Number(fields['deliveries'] ?? 0),
      prediction: fields['state'] === undefined ? undefined : (JSON.parse(fields['state']) as unknown),
    }
  }

  async cancel(id: string): Promise<boolean> {
    const status = await this.#client.hGet(this.#hashOf(id), 'status')
    if (status === null || status === undefined || ENDED.has(status)) return false
    const expiration = { type: 'EX', value: KEEP_SECONDS } as const
    await this.#client.set(`${this.#hashOf(id)}:cancel`, '1', { expiration })
    return true
  }

  async listDead(): Promise<readonly DeadLetter[]> {
    const entries = await this.#client.xRange(this.#dead, '-', '+')
    return (entries ?? []).map(({ id: entry, message }) => ({
      entry,
      id: message['id'] ?? '',
      reason: message['reason'] ?? '',
      deliveries: Number(message['deliveries'] ?? 0),
      failedAt: message['failed_at'] ?? '',
    }))
  }

  async retryDead(which: string): Promise<number> {
    let count = 0
    for (const letter of await this.listDead()) {
      if (which !== 'all' && which !== letter.entry && which !== letter.id) continue
      const answer = await this.#client.eval(RETRY, {
        keys: [this.#stream, this.#dead, this.#hashOf(letter.id)],
        arguments: [letter.entry],
      })
      count += Number(answer)
    }
    return count
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  #hashOf(id: string): string {
    return `${this.#stream}:p:${id}`
  }
}
