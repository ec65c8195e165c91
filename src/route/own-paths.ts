import type { IncomingMessage, ServerResponse } from 'node:http'
import { renderMetrics, type Watched } from './metrics.ts'
import type { Upstream } from './upstream.ts'

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

function serverOf({ url, health, inFlight, answers }: Upstream, now: number) {
  return {
    url: url.href,
    healthy: !health.isOut(now),
    /** Why it is out, or was the last time that it was asked. */
    reason: health.reason,
    in_flight: inFlight,
    requests: sum([...answers.values()]),
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

function statusOf(router: Watched): object {
  const { sides, table } = router.state
  return {
    versions: sides.map(({ name, weight, upstreams }) => {
      const servers = upstreams.map((upstream) => serverOf(upstream, router.now()))
      return {
        name,
        weight,
        healthy: servers.some(({ healthy }) => healthy),
        in_flight: sum(servers.map(({ in_flight: count }) => count)),
        requests: sum(servers.map(({ requests }) => requests)),
        servers,
      }
    }),
    health: table.health,
    sticky: table.sticky,
    mirror: table.mirror,
  }
}
