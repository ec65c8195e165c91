import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../test/support/docker-registry.ts'

const run = promisify(execFile)

/** What a server answers to `POST /predictions`. */
export interface Prediction {
  readonly status: string
  readonly output?: unknown
  readonly error?: string
}

/** A server of a model that is ready to answer. */
export interface ModelServer {
  readonly port: number
  /** From the start of the program to READY, in seconds. */
  readonly startSeconds: number
  /** Ends it and waits until it has ended. */
  close(): Promise<void>
}

/**
 * Runs `layerwright serve` with a port of its own and waits until the model is set up.
 *
 * @param args what follows `serve`
 */
export async function serveModel(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<ModelServer> {
  const port = await freePort()
  const began = performance.now()
  const server = spawn(process.execPath, [program, 'serve', ...args, '-p', String(port)], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const close = async (): Promise<void> => {
    if (server.exitCode !== null) return
    const ended = once(server, 'exit')
    server.kill('SIGINT')
    await ended
  }
  try {
    await ready(port, server)
  } catch (error) {
    await close()
    throw error
  }
  return { port, startSeconds: secondsSince(began), close }
}

/** Asks for one prediction. */
export async function predict(port: number, input: Readonly<Record<string, unknown>>): Promise<Prediction> {
  const answer = await fetch(`http://127.0.0.1:${port}/predictions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  })
  return (await answer.json()) as Prediction
}

/** Waits until the model is set up. */
export async function ready(port: number, server?: ChildProcess): Promise<void> {
  for (let turn = 0; turn < 6000; turn++) {
    if (typeof server?.exitCode === 'number') throw new Error(`the server ended with status ${server.exitCode}`)
    try {
      const answer = (await (await fetch(`http://127.0.0.1:${port}/health-check`)).json()) as { status: string }
      if (answer.status === 'READY') return
      if (answer.status === 'SETUP_FAILED') throw new Error('the setup failed: see what the model printed')
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
    }
    await sleep(20)
  }
  throw new Error('the server did not become ready')
}

/** Whether a program is installed. */
export async function isInstalled(name: string): Promise<boolean> {
  return (await run('sh', ['-c', `command -v ${name} || true`])).stdout.trim() !== ''
}

/** Seconds since a moment of `performance.now()`, to the hundredth. */
export function secondsSince(began: number): number {
  return Math.round((performance.now() - began) / 10) / 100
}
