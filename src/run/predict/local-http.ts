import { request } from 'node:http'
import { createServer } from 'node:net'
import { BuildError } from '../../core/errors.ts'

/** An answer of the container's server. */
export interface LocalAnswer {
  readonly status: number
  readonly body: unknown
}

const MAX_ANSWER_BYTES = 2 ** 30 - 1

/**
 * Asks a server on this machine. The usual door to the network is made for the internet, with proxies and patience that
 * ends; a prediction may be silent for hours.
 *
 * @returns undefined while nothing listens there
 */
export function askLocal(
  port: number,
  method: 'GET' | 'POST',
  path: string,
  options: { readonly body?: unknown; readonly signal?: AbortSignal | undefined } = {},
): Promise<LocalAnswer | undefined> {
  const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body))
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        headers: body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > MAX_ANSWER_BYTES) return void response.destroy(new RangeError('The answer is larger than 1 GiB'))
          chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks)) }))
      },
    )
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve(undefined)
      else if (options.signal?.aborted) reject(options.signal.reason)
      else
        reject(
          new BuildError('RUN_FAILED', `The model's server broke the connection: ${error.message}`, { cause: error }),
        )
    })
    sent.end(body)
  })
}

/**
 * Makes sure that a server of this machine can listen there.
 *
 * @throws BuildError RUN_FAILED when somebody else does, USAGE when the address is not this machine's
 */
export async function assertFreePort(port: number, host: string): Promise<void> {
  const server = createServer()
  const code = await new Promise<string | undefined>((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
  if (code === 'EADDRINUSE') {
    throw new BuildError('RUN_FAILED', `Something else listens on port ${port}`, {
      hint: 'Choose another port with -p.',
    })
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    throw new BuildError('USAGE', `This machine has no such address to listen on: \`${host}\``, {
      hint: 'Use 127.0.0.1, or 0.0.0.0 for every address.',
    })
  }
  // What this user may not, such as a port below 1024, an engine perhaps may.
}

function parse(bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    // Some answers are plain text.
    return text
  }
}

/** A TCP port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
