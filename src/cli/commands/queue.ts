import type { Command as Program } from 'commander'
import { BuildError } from '../../core/errors.ts'
import type { Queue } from '../../queue/queue.ts'
import { append } from '../append.ts'
import type { Command, CommandEntry, Io } from '../command.ts'

interface QueueFlags {
  readonly url?: string
  readonly queue: string
}

/** How long `--wait` says nothing of a job that nobody takes. */
const QUIET_WAIT_MS = 5000

type Work = (
  queue: Queue,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
  io: Io,
) => Promise<number | void>

function subcommand(define: (program: Program) => void, work: Work): Command {
  return {
    define(program) {
      define(program)
      program
        .option('--url <url>', 'Redis; else LAYERWRIGHT_QUEUE, else REDIS_URL')
        .option('--queue <stream>', 'stream of the jobs', 'predictions')
    },
    async run(args, options, io) {
      const { url = io.env['LAYERWRIGHT_QUEUE'] || io.env['REDIS_URL'], queue: stream } =
        options as unknown as QueueFlags
      if (url === undefined) {
        throw new BuildError('USAGE', 'No Redis is named', { hint: 'Give --url, or set LAYERWRIGHT_QUEUE.' })
      }
      const [{ openQueue }, { explainRefusal }] = await Promise.all([
        import('../../queue/queue.ts'),
        import('../../queue/connect.ts'),
      ])
      const queue = await openQueue(url, stream)
      try {
        return await work(queue, args, options, io)
      } catch (error) {
        throw explainRefusal(error)
      } finally {
        await queue.close()
      }
    },
  }
}

const submit = subcommand(
  (program) =>
    program
      .option(
        '-i, --input <name=value>',
        'an input; `name=@file` for a file; a value that is JSON is taken as such; repeatable',
        append,
        [],
      )
      .option('--json <inputs>', 'a JSON object, or the file with one')
      .option('--id <id>', 'id of the job; made unless given')
      .option('--webhook <url>', 'address that is told of the job')
      .option('--model <name>', "one of several models or pipelines of the workers' image; the default unless given")
      .option('--max-length <count>', 'refuse when so many jobs are in the queue', '0')
      .option('--wait', 'wait for the end and print the prediction'),
  async (queue, _, options, io) => {
    const { readJobInput } = await import('../job-input.ts')
    const { json, input: words } = options as { json?: string; input: readonly string[] }
    const input = readJobInput(json, words, io.cwd)
    const {
      id: wanted,
      webhook,
      model,
      maxLength,
      wait,
    } = options as {
      id?: string
      webhook?: string
      model?: string
      maxLength: string
      wait?: boolean
    }
    const maximum = Number(maxLength)
    if (!Number.isInteger(maximum)) throw new BuildError('USAGE', `--max-length must be a number: \`${maxLength}\``)
    const id = await queue.submit({ id: wanted, input, webhook, model }, maximum)
    if (wait !== true) return void io.stdout.write(`${id}\n`)
    const noticeAt = Date.now() + QUIET_WAIT_MS
    for (let isTold = false; ;) {
      io.signal.throwIfAborted()
      const state = await queue.status(id)
      if (state !== undefined && ['succeeded', 'failed', 'canceled'].includes(state.status)) {
        io.stdout.write(`${JSON.stringify(state.prediction, undefined, 2)}\n`)
        return state.status === 'succeeded' ? 0 : 1
      }
      if (!isTold && Date.now() > noticeAt && state?.deliveries === 0) {
        isTold = true
        const text = `No worker has taken the job yet: \`${id}\`. \`layerwright serve IMAGE -e LAYERWRIGHT_QUEUE=URL\` starts one.`
        io.report({ type: 'note', level: 'warning', text, code: 'JOB_WAITS' })
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  },
)

const status = subcommand(
  (program) => program.argument('<id>', 'id of the job'),
  async (queue, [id = ''], _, io) => {
    const state = await queue.status(id)
    if (state === undefined) throw new BuildError('INPUT_INVALID', `There is no job with this id: \`${id}\``)
    io.stdout.write(`${JSON.stringify(state, undefined, 2)}\n`)
  },
)

const cancel = subcommand(
  (program) => program.argument('<id>', 'id of the job'),
  async (queue, [id = '']) => {
    if (await queue.cancel(id)) return
    throw new BuildError('INPUT_INVALID', `There is no job with this id that could be canceled: \`${id}\``)
  },
)

const deadList = subcommand(
  (program) => program.option('--json', 'print JSON'),
  async (queue, _, options, io) => {
    const letters = await queue.listDead()
    if (options['json'] === true) return void io.stdout.write(`${JSON.stringify(letters, undefined, 2)}\n`)
    for (const { id, deliveries, failedAt, reason } of letters) {
      io.stdout.write(
        `${id}  ${deliveries} ${deliveries === 1 ? 'delivery' : 'deliveries'}  ${failedAt}  ${reason.split('\n')[0] ?? ''}\n`,
      )
    }
  },
)

const deadRetry = subcommand(
  (program) => program.argument('[id]', 'id of a job').option('--all', 'all of them'),
  async (queue, [id], options, io) => {
    if ((id === undefined) === (options['all'] !== true)) throw new BuildError('USAGE', 'Name a job, or give --all')
    const count = await queue.retryDead(id ?? 'all')
    if (count === 0 && id !== undefined)
      throw new BuildError('INPUT_INVALID', `There is no such dead letter: \`${id}\``)
    io.stdout.write(`${count}\n`)
  },
)

const dead: Command = {
  define() {},
  async run() {},
  subcommands: [
    entry('list', 'list jobs that were given up', deadList),
    entry('retry', 'put them back into the queue', deadRetry),
  ],
}

/** `layerwright queue`: jobs for the workers in the image. */
export const command: Command = {
  define() {},
  async run() {},
  subcommands: [
    entry('submit', 'add a job and print its id', submit),
    entry('status', 'show a job', status),
    entry('cancel', 'cancel a job that waits or runs', cancel),
    entry('dead', 'jobs that were given up', dead),
  ],
}

function entry(name: string, summary: string, made: Command): CommandEntry {
  return { name, summary, group: 'Run', load: () => Promise.resolve({ command: made }) }
}
