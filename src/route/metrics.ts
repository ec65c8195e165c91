import type { RouteState, Side } from './state.ts'
import { SECONDS_BOUNDS } from './upstream.ts'

/** What is asked of a router about itself. */
export interface Watched {
  readonly state: RouteState
  readonly counts: Readonly<Record<'retries' | 'askedAround' | 'reloads' | 'failedReloads', number>>
  readonly isDraining: boolean
  now(): number
}

type Sample = readonly [labels: string, value: number]

/** Everything that was counted, in Prometheus' text format. Names of versions need no escapes. */
export function renderMetrics(router: Watched): string {
  const { state, counts } = router
  const { sides } = state
  const each = (value: (side: Side) => number): readonly Sample[] =>
    sides.map((side) => [`{version="${side.name}"}`, value(side)])
  const mirrored = (kind: 'sent' | 'failed' | 'skipped'): readonly Sample[] =>
    sides.map(({ name, upstream }) => [`{version="${name}",result="${kind}"}`, upstream.mirrored[kind]])
  return [
    metric('layerwright_route_requests_total', 'counter', 'Requests that a version answered.', requests(sides)),
    metric(
      'layerwright_route_unreached_total',
      'counter',
      'Requests that could not be sent.',
      each((side) => side.upstream.unreached),
    ),
    metric(
      'layerwright_route_broken_total',
      'counter',
      'Requests that got no answer.',
      each((side) => side.upstream.broken),
    ),
    metric(
      'layerwright_route_in_flight',
      'gauge',
      'Requests under way.',
      each((side) => side.upstream.inFlight),
    ),
    metric(
      'layerwright_route_weight',
      'gauge',
      'Share of the requests.',
      each((side) => side.weight),
    ),
    metric(
      'layerwright_route_reachable',
      'gauge',
      '1 unless it is left out for a while.',
      each((side) => Number(!side.upstream.isEjected(router.now()))),
    ),
    histogram(sides),
    metric('layerwright_route_mirrored_total', 'counter', 'Copies of requests.', [
      ...mirrored('sent'),
      ...mirrored('failed'),
      ...mirrored('skipped'),
    ]),
    metric('layerwright_route_retries_total', 'counter', 'Requests that were sent to another version.', [
      ['', counts.retries],
    ]),
    metric('layerwright_route_asked_around_total', 'counter', 'Versions that did not know an id.', [
      ['', counts.askedAround],
    ]),
    metric('layerwright_route_reloads_total', 'counter', 'Tables that were read again.', [
      ['{result="taken"}', counts.reloads],
      ['{result="refused"}', counts.failedReloads],
    ]),
  ].join('')
}

function requests(sides: readonly Side[]): readonly Sample[] {
  return sides.flatMap(({ name, upstream }) =>
    [...upstream.answers].map(([status, count]): Sample => [`{version="${name}",code="${status}"}`, count]),
  )
}

function histogram(sides: readonly Side[]): string {
  const name = 'layerwright_route_request_seconds'
  const lines = sides.flatMap(({ name: version, upstream }) => {
    let total = 0
    const buckets = upstream.seconds.map((count, at) => {
      total += count
      return `${name}_bucket{version="${version}",le="${SECONDS_BOUNDS[at] ?? '+Inf'}"} ${total}`
    })
    const labels = `{version="${version}"}`
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
