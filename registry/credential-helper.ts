import { spawn } from 'node:child_process'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import type { Environment } from '../src/core/http.ts'

/** A user and secret as a helper program keeps them. */
export interface HelperEntry {
  readonly username: string
  /** A password, or an identity token when the user is `<token>`. */
  readonly secret: string
}

/** How helper programs are run. */
export interface HelperOptions {
  readonly env: Environment
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const OUTPUT_LIMIT = 1 << 20
/** A helper may ask a cloud; one that waits for a person at a keyboard is of no use here. */
const TIMEOUT_MS = 30_000
const NOT_INSTALLED = 'is not installed'
const NOT_FOUND = 'credentials not found in native keychain'

/**
 * Asks `docker-credential-NAME get` for a server's credentials.
 *
 * @returns undefined when the helper has none
 * @throws BuildError CREDENTIALS_INVALID when it is missing, fails, hangs or talks nonsense; never with its output
 * @see docker/docker-credential-helpers, client and credentials packages
 */
export async function getFromHelper(
  name: string,
  server: string,
  options: HelperOptions,
): Promise<HelperEntry | undefined> {
  const { status, output } = await runHelper(name, 'get', server, options)
  if (status !== 0) {
    if (output.trim() === NOT_FOUND) return undefined
    throw helperError(name, `failed for ${server} with status ${status}`)
  }
  let document: unknown
  try {
    document = JSON.parse(output)
  } catch {
    // The parser's message quotes the text, which is secret.
    throw helperError(name, `gave no JSON for ${server}`)
  }
  const { Username: username, Secret: secret } = (document ?? {}) as Record<string, unknown>
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw helperError(name, `gave no Username and Secret for ${server}`)
  return secret === '' ? undefined : { username, secret }
}

/** Hands credentials to a helper to keep. @throws BuildError CREDENTIALS_INVALID */
export async function storeInHelper(
  name: string,
  server: string,
  entry: HelperEntry,
  options: HelperOptions,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: server, Username: entry.username, Secret: entry.secret })
  const { status } = await runHelper(name, 'store', input, options)
  if (status !== 0) throw helperError(name, `could not store the credentials of ${server}`)
}

/** Makes a helper forget a server; that it knew none is fine. @throws BuildError CREDENTIALS_INVALID */
export async function eraseFromHelper(name: string, server: string, options: HelperOptions): Promise<void> {
  const { status, output } = await runHelper(name, 'erase', server, options)
  if (status !== 0 && output.trim() !== NOT_FOUND) throw helperError(name, `could not forget ${server}`)
}

function runHelper(
  name: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
  options: HelperOptions,
): Promise<{ readonly status: number | null; readonly output: string }> {
  if (!/^[\w.-]+$/.test(name)) throw helperError(name, 'has a name that is no program')
  const { timeoutMs = TIMEOUT_MS, signal } = options
  return new Promise((resolve, reject) => {
    const child = spawn(`docker-credential-${name}`, [verb], {
      env: { ...options.env },
      stdio: ['pipe', 'pipe', 'ignore'],
      ...(signal === undefined ? {} : { signal }),
    })
    let output = ''
    const fail = (problem: string, cause?: unknown): void => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      // A program that the helper started may hold the pipe and go on writing.
      child.stdout.destroy()
      reject(helperError(name, problem, cause))
    }
    const timer = setTimeout(() => fail(`did not answer within ${timeoutMs / 1000} s`), timeoutMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.length > OUTPUT_LIMIT) fail('gave an answer without end')
    })
    // A helper that ends without reading its input is judged by its status.
    child.stdin.on('error', () => {})
    child.stdin.end(`${input}\n`)
    child.on('error', (error) => {
      if (signal?.aborted) {
        clearTimeout(timer)
        reject(signal.reason as Error)
      } else fail(systemErrorCode(error) === 'ENOENT' ? NOT_INSTALLED : 'could not be started', error)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, output })
    })
  })
}

function helperError(name: string, problem: string, cause?: unknown): BuildError {
  return new BuildError('CREDENTIALS_INVALID', `The credential helper docker-credential-${name} ${problem}`, {
    hint:
      problem === NOT_INSTALLED
        ? 'Install it where PATH finds it, or take it out of your Docker or containers configuration.'
        : `Try it by hand: \`echo SERVER | docker-credential-${name} get\`.`,
    cause,
  })
}
