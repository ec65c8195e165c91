import type { IncomingMessage, ServerResponse } from 'node:http'
import { renderMetrics, type Watched } from './metrics.ts'

/** Paths that the router answers itself. */
export const OWN_PATHS: ReadonlySet<string> = new Set(['/route/healthz', '/route/status', '/route/metrics'])

/** Answers a request for one of {@link OWN_PATHS}. */
export function answerAboutRouter(
  router: Watched,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  request.resume()
  if (path.startsWith('/route/metrics')) {
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
    response.end(renderMetrics(router))
    return
  }
  const health = router.isDraining ? 'draining' : 'ok'
  const body = path.startsWith('/route/healthz') ? { status: health } : { status: health, ...statusOf(router) }
  response.writeHead(router.isDraining ? 503 : 200, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}

function statusOf(router: Watched): object {
  const { sides, table } = router.state
  return {
    versions: sides.map(({ name, weight, upstream }) => ({
      name,
      url: upstream.url.href,
      weight,
      reachable: !upstream.isEjected(router.now()),
      in_flight: upstream.inFlight,
      requests: [...upstream.answers.values()].reduce((sum, count) => sum + count, 0),
    })),
    sticky: table.sticky,
    mirror: table.mirror,
  }
}
