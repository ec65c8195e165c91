import pLimit from 'p-limit'
import type { Http, HttpResponse } from '../../core/http.ts'

/**
 * Lets only so many exchanges run at once, each from its request to the last byte of its answer.
 *
 * Counted by exchanges and not by requests, because what a server or proxy bears is a number of connections: bursts
 * of 50 new ones made one in ten wait for 10 s where 20 took 0.3 s in all.
 */
export function limitHttp(http: Http, concurrency: number): Http {
  const limit = pLimit(concurrency)
  return (request) =>
    new Promise<HttpResponse>((resolve, reject) => {
      void limit(
        () =>
          new Promise<void>((finish) => {
            http(request).then(
              (response) => resolve(finishing(response, finish)),
              (error: unknown) => {
                finish()
                reject(error)
              },
            )
          }),
      )
    })
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
