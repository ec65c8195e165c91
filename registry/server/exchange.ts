import type { IncomingMessage } from 'node:http'

/** A request as handlers see it. */
export interface Call {
  readonly method: string
  readonly query: URLSearchParams
  /** A header by its lower-case name. */
  header(name: string): string | undefined
  /** The body; asking for it tells a client that waits (`Expect: 100-continue`) to send it. */
  body(): AsyncIterable<Uint8Array>
  /** Breaks the connection: what reads the body fails. */
  abandon(): void
}

/** What a handler answers. A body is not sent to HEAD. */
export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array | Download
}

/** A body that is streamed. */
export interface Download {
  readonly sizeBytes: number
  stream(): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** An answer in JSON. */
export function json(value: unknown, headers: Answer['headers'] = {}): Answer {
  return { status: 200, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) }
}

/** Wraps a request of Node's server. */
export function makeCall(request: IncomingMessage, query: URLSearchParams, onBody: () => void): Call {
  return {
    method: request.method ?? 'GET',
    query,
    header: (name) => {
      const value = request.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
    body: () => {
      onBody()
      return request
    },
    abandon: () => void request.destroy(),
  }
}
