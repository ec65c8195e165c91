import type { RouteState } from './state.ts'
import { SECONDS_BOUNDS, type Upstream } from './upstream.ts'

/** What is asked of a router about itself. */
export interface Watched {
  readonly state: RouteState
  readonly counts: Readonly<Record<'retries' | 'askedAround' | 'reloads' | 'failedReloads', number>>
  readonly isDraining: boolean
  now(): number
}

type Sample = readonly [labels: string, value: number]

/** Everything that was counted, in Prometheus' text format. Names of versions, and addresses as URLs have them, need no escapes. */
export function renderMetrics(router: Watched): string {
  const { state, counts } = router
  const { sides, upstreams } = state
  const each = (value: (upstream: Upstream) => number): readonly Sample[] =>
    upstreams.map((upstream) => [labelsOf(upstream), value(upstream)])
  const byResult = <K extends string>(
    kinds: readonly K[],
    count: (upstream: Upstream) => Readonly<Record<K, number>>,
  ): readonly Sample[] =>
    kinds.flatMap((kind) =>
      upstreams.map((upstream): Sample => [labelsOf(upstream, `result="${kind}"`), count(upstream)[kind]]),
    )
  return [
    metric('layerwright_route_requests_total', 'counter', 'Requests that a version answered.', requests(upstreams)),
    metric(
      'layerwright_route_unreached_total',
      'counter',
      'Requests that could not be sent.',
      each(({ unreached }) => unreached),
    ),
    metric(
      'layerwright_route_broken_total',
      'counter',
      'Requests that got no answer.',
      each(({ broken }) => broken),
    ),
    metric(
      'layerwright_route_in_flight',
      'gauge',
      'Requests under way.',
      each(({ inFlight }) => inFlight),
    ),
    metric(
      'layerwright_route_weight',
      'gauge',
      'Share of the requests.',
      sides.map(({ name, weight }) => [`{version="${name}"}`, weight]),
    ),
    metric(
      'layerwright_route_healthy',
      'gauge',
      '1 unless it is left out.',
      each(({ health }) => Number(!health.isOut(router.now()))),
    ),
    metric(
      'layerwright_route_checks_total',
      'counter',
      'Checks of health.',
      byResult(['passed', 'failed'], ({ health }) => health.checks),
    ),
    histogram(upstreams),
    metric(
      'layerwright_route_mirrored_total',
      'counter',
      'Copies of requests.',
      byResult(['sent', 'failed', 'skipped'], ({ mirrored }) => mirrored),
    ),
    metric('layerwright_route_retries_total', 'counter', 'Requests that were sent to another server.', [
      ['', counts.retries],
    ]),
    metric('layerwright_route_asked_around_total', 'counter', 'Servers that did not know an id.', [
      ['', counts.askedAround],
    ]),
    metric('layerwright_route_reloads_total', 'counter', 'Tables that were read again.', [
      ['{result="taken"}', counts.reloads],
      ['{result="refused"}', counts.failedReloads],
    ]),
  ].join('')
}

function labelsOf({ version, url }: Upstream, ...more: readonly string[]): string {
  return `{${[`version="${version}"`, `server="${url.href}"`, ...more].join(',')}}`
}

function requests(upstreams: readonly Upstream[]): readonly Sample[] {
  return upstreams.flatMap((upstream) =>
    [...upstream.answers].map(([status, count]): Sample => [labelsOf(upstream, `code="${status}"`), count]),
  )
}

function histogram(upstreams: readonly Upstream[]): string {
  const name = 'layerwright_route_request_seconds'
  const lines = upstreams.flatMap((upstream) => {
    let total = 0
    const buckets = upstream.seconds.map((count, at) => {
      total += count
      return `${name}_bucket${labelsOf(upstream, `le="${SECONDS_BOUNDS[at] ?? '+Inf'}"`)} ${total}`
    })
    const labels = labelsOf(upstream)
    return [...buckets, `${name}_sum${labels} ${upstream.secondsSum}`, `${name}_count${labels} ${total}`]
  })
  return `${head(name, 'histogram', 'Time until an answer had been passed on.')}${lines.map((line) => `${line}\n`).join('')}`
}

function metric(name: string, kind: string, text: string, samples: readonly Sample[]): string {
  return head(name, kind, text) + samples.map(([labels, value]) => `${name}${labels} ${value}\n`).join('')
}

function head(name: string, kind: string, text: string): string {
  return `# HELP ${name} ${text}\n# TYPE ${name} ${kind}\n`
}
