import { setTimeout as sleep } from 'node:timers/promises'
import { BuildError } from '../../core/errors.ts'
import { startTask } from '../../core/progress.ts'
import type { RunningContainer } from '../container.ts'
import { startContainer, type RunContext, type RunRequest } from '../run-container.ts'
import { askLocal, assertFreePort, freePort } from './local-http.ts'

/** A model's server that answers on this machine. */
export interface ModelServer {
  readonly port: number
  readonly container: RunningContainer
  /** Stops it and waits for its end. */
  stop(): Promise<void>
}

/** How a model's server is started. */
export interface ServerRequest extends Omit<RunRequest, 'output' | 'stdin' | 'terminal' | 'network'> {
  /** A free port unless given. */
  readonly port?: number | undefined
  /** The address it listens on, or `image` for what the image says; only this machine reaches it unless given. */
  readonly listenOn?: string | undefined
  /** How long its setup may take; no limit unless given. */
  readonly setupTimeoutMs?: number | undefined
  /** Takes what the container prints, as it comes. */
  readonly log: (chunk: Uint8Array) => void
}

const POLL_MS = 40
const KEPT_LOG_BYTES = 64 * 1024
const STOP_MS = 10_000
/** A server that was never ready has nothing to bring to an end, and its first process may not listen to signals yet. */
const GIVE_UP_MS = 1000

/**
 * Starts a model's container and waits until its setup is done.
 *
 * The container shares the host's network; its port is told by `PORT`, as every platform does.
 *
 * @throws BuildError RUN_FAILED, with what it printed in `data.logs`, when it ends or its setup fails
 */
export async function startModelServer(request: ServerRequest, context: RunContext): Promise<ModelServer> {
  const port = request.port ?? (await freePort())
  const host = request.listenOn ?? '127.0.0.1'
  const isImages = host === 'image'
  await assertFreePort(port, isImages ? '0.0.0.0' : host)
  const task = startTask(context.report, 'set up the model')
  const command = isImages ? undefined : cogCommand(request.image.config.config?.Cmd ?? [], host)
  const container = await startContainer(
    {
      ...request,
      ...(command === undefined ? {} : { command }),
      env: {
        LOG_FORMAT: 'console',
        ...request.env,
        PORT: String(port),
        ...(isImages ? {} : { LAYERWRIGHT_HOST: host }),
      },
      network: 'host',
      output: 'pipe',
    },
    context,
  )
  const logs = new LogTail(request.log)
  const readers = [logs.read(container.stdout), logs.read(container.stderr)]
  let ended: number | undefined
  const exit = container.exit.then(async (status) => {
    await Promise.all(readers)
    ended = status
  })
  exit.catch(() => {
    // Told by the wait below, or by `stop`.
  })
  const stop = async (graceMs = STOP_MS): Promise<void> => {
    container.kill('SIGTERM')
    const timer = setTimeout(() => container.kill('SIGKILL'), graceMs)
    await exit.finally(() => clearTimeout(timer))
  }
  const giveUp = async (): Promise<void> => {
    task.end('failed')
    await stop(GIVE_UP_MS)
  }
  const failure = await waitUntilReady(port, request, () => ended).catch(async (error: unknown) => {
    await giveUp()
    throw error
  })
  if (failure !== undefined) {
    await giveUp()
    throw setupError(failure, logs.text())
  }
  task.end()
  return { port, container, stop: () => stop() }
}

/** Cog's own server listens on every address of the machine unless an argument says otherwise; ours hears a variable. */
export function cogCommand(command: readonly string[], host: string): readonly string[] | undefined {
  return command.at(-1) === 'cog.server.http' ? [...command, '--host', host] : undefined
}

/** Why there is no model to ask. */
export interface SetupFailure {
  readonly what: string
  /** What the server kept of the setup; nothing where it says nothing. */
  readonly logs?: string | undefined
}

/** Gives why there will be no model; nothing once there is one. */
async function waitUntilReady(
  port: number,
  request: ServerRequest,
  ended: () => number | undefined,
): Promise<SetupFailure | undefined> {
  const deadline = request.setupTimeoutMs === undefined ? Infinity : Date.now() + request.setupTimeoutMs
  for (;;) {
    request.signal?.throwIfAborted()
    const status = ended()
    if (status !== undefined) return { what: `The container ended with status ${status} before it was ready` }
    const answer = await askLocal(port, 'GET', '/health-check', { signal: request.signal })
    const health = readHealth(answer?.body)
    if (health.status === 'READY' || health.status === 'BUSY') return undefined
    if (health.status === 'SETUP_FAILED' || health.status === 'DEFUNCT') {
      return { what: 'The setup of the model failed', logs: health.logs }
    }
    if (answer?.status === 404) return { what: 'The container has no /health-check: it is no model image' }
    if (Date.now() > deadline) return { what: 'The setup of the model took too long' }
    await sleep(POLL_MS, undefined, request.signal === undefined ? {} : { signal: request.signal })
  }
}

function readHealth(body: unknown): { readonly status: string; readonly logs: string } {
  const health = (typeof body === 'object' && body !== null ? body : {}) as { status?: unknown; setup?: unknown }
  const setup = (typeof health.setup === 'object' && health.setup !== null ? health.setup : {}) as { logs?: unknown }
  return {
    status: typeof health.status === 'string' ? health.status : '',
    logs: typeof setup.logs === 'string' ? setup.logs : '',
  }
}

/**
 * The error of a model that is not there: one line with the reason, since the traceback has been shown as it was printed.
 *
 * @param shown  what the container has printed; a reason that is not in it comes with all that is known
 */
export function setupError({ what, logs }: SetupFailure, shown: string): BuildError {
  const known = (logs || shown).trim()
  const [text = '', hint] = known.split(/\n+hint: (?=[^\n]*$)/)
  const reason = text.trimEnd().split('\n').at(-1) ?? ''
  if (reason === '') return new BuildError('RUN_FAILED', what, { data: { logs: known } })
  const message = shown.includes(reason) ? `${what}: ${reason}` : `${what}:\n${text.trimEnd()}`
  return new BuildError('RUN_FAILED', message, { hint, data: { logs: known } })
}

/** Passes what a container prints on, and keeps its end. */
class LogTail {
  #kept = Buffer.alloc(0)
  readonly #log: (chunk: Uint8Array) => void

  constructor(log: (chunk: Uint8Array) => void) {
    this.#log = log
  }

  async read(stream: AsyncIterable<Uint8Array> | undefined): Promise<void> {
    for await (const chunk of stream ?? []) {
      this.#log(chunk)
      this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-KEPT_LOG_BYTES)
    }
  }

  text(): string {
    return this.#kept.toString('utf8')
  }
}
