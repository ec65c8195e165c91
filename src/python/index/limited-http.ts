import pLimit from 'p-limit'
import type { Http, HttpResponse } from '../../core/http.ts'

/** How many exchanges may run at once with one origin over one HTTP/2 connection, when its server takes as many. */
const SHARED_CONCURRENCY = 100

/**
 * Lets only so many exchanges run at once with each origin, each from its request to the last byte of its answer.
 *
 * Counted by exchanges and not by requests, because what a server or proxy bears is a number of connections: bursts
 * of 50 new ones made one in ten wait for 10 s where 20 took 0.3 s in all. Where all share one connection there may be
 * more.
 */
export function limitHttp(http: Http, concurrency: number): Http {
  const limits = new Map<string, ReturnType<typeof pLimit>>()
  const limitOf = (url: string): ReturnType<typeof pLimit> => {
    const origin = /^[^/]*\/\/[^/]*/.exec(url)?.[0] ?? url
    const known = limits.get(origin) ?? pLimit(concurrency)
    limits.set(origin, known)
    return known
  }
  return (request) => {
    const limit = limitOf(request.url)
    return new Promise<HttpResponse>((resolve, reject) => {
      void limit(
        () =>
          new Promise<void>((finish) => {
            http(request).then(
              (response) => {
                // Who waits for the server to take its request would be taken for one who gets no answer.
                if (response.sharedBy !== undefined)
                  limit.concurrency = Math.max(1, Math.min(SHARED_CONCURRENCY, response.sharedBy))
                resolve(finishing(response, finish))
              },
              (error: unknown) => {
                finish()
                reject(error)
              },
            )
          }),
      )
    })
  }
}

function finishing(response: HttpResponse, finish: () => void): HttpResponse {
  return {
    ...response,
    body: iterate(response.body, finish),
    bytes: (limitBytes) => response.bytes(limitBytes).finally(finish),
    discard: () => response.discard().finally(finish),
  }
}

async function* iterate(body: AsyncIterable<Uint8Array>, finish: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } finally {
    finish()
  }
}
