import type { IncomingMessage } from 'node:http'
import { VERSION_HEADER } from '../core/version-header.ts'
import { drawOrder, keyOrder } from './choose.ts'
import { cookieOf } from './headers.ts'
import { Mirror } from './mirror.ts'
import type { RouteTable } from './table.ts'
import { keyOf, Upstream, type UpstreamWorld } from './upstream.ts'

/** A version with its servers and share. */
export interface Side {
  readonly name: string
  readonly weight: number
  readonly upstreams: readonly Upstream[]
}

/** A table at work. A request keeps the one that it began with. */
export interface RouteState {
  readonly table: RouteTable
  readonly sides: readonly Side[]
  /** All of all sides. */
  readonly upstreams: readonly Upstream[]
  readonly mirror: { readonly to: string; readonly share: number; readonly copies: Mirror } | undefined
}

/** Who may answer a request, in this order. */
export interface Candidates {
  readonly upstreams: readonly Upstream[]
  /** Only these may, whatever becomes of it: the version was named, or it alone knows the id. */
  readonly isFixed: boolean
}

/** What choosing takes from outside. */
interface World {
  readonly now: number
  /** 0 to below 1. */
  readonly random: () => number
}

/**
 * Puts a table to work; servers whose version and address stay keep their connections, health and counts.
 *
 * @throws what `world.trust` throws
 */
export function makeState(
  table: RouteTable,
  world: UpstreamWorld & { readonly now: () => number },
  before?: RouteState,
): RouteState {
  const known = new Map(before?.upstreams.map((upstream) => [upstream.key, upstream]))
  const sides = Object.entries(table.versions).map(([name, { urls, weight }]): Side => {
    const upstreams = urls.map((url) => known.get(keyOf(name, url)) ?? new Upstream(name, url, world))
    return { name, weight, upstreams }
  })
  const state = { table, sides, upstreams: sides.flatMap(({ upstreams }) => upstreams) }
  const side = sides.find(({ name }) => name === table.mirror?.to)
  if (table.mirror === undefined || side === undefined) return { ...state, mirror: undefined }
  const { percent, max_bytes: maxBytes } = table.mirror
  const copies = new Mirror(side.upstreams, maxBytes, world.now)
  return { ...state, mirror: { to: side.name, share: percent / 100, copies } }
}

/**
 * Who may answer a request: the version that it names, else the server of its id, else in the order of its key, else by lot.
 * Servers that are out come last, so that they are tried when there are no others.
 *
 * @param id  with the server that is known of it
 * @returns undefined when the request names a version that there is not
 */
export function chooseUpstreams(
  { sides, upstreams, table }: RouteState,
  request: IncomingMessage,
  id: { readonly text: string; readonly server: string | undefined } | undefined,
  world: World,
): Candidates | undefined {
  const known = id?.server === undefined ? undefined : upstreams.find(({ key }) => key === id.server)
  const wanted = request.headers[VERSION_HEADER]
  if (known !== undefined && (wanted === undefined || wanted === known.version))
    return { upstreams: [known], isFixed: true }
  if (wanted !== undefined) {
    const side = sides.find(({ name }) => name === wanted)
    return side === undefined ? undefined : { upstreams: inOrder([side], id?.text, world), isFixed: true }
  }
  const key = stickyKey(table, request) ?? id?.text
  const order = key === undefined ? drawOrder(sides, world.random) : keyOrder(sides, key)
  return { upstreams: inOrder(order, id?.text, world), isFixed: false }
}

/** Those that are not out first, each part by version. */
function inOrder(sides: readonly Side[], id: string | undefined, world: World): readonly Upstream[] {
  const all = sides.flatMap(({ upstreams }) => ofOneVersion(upstreams, id, world.random))
  const isOut = (upstream: Upstream): number => Number(upstream.health.isOut(world.now))
  return all.toSorted((a, b) => isOut(a) - isOut(b))
}

/**
 * The server with the least under way first. That of an id is always the same: whoever looks at it, or cancels it, may come
 * before its first answer.
 */
function ofOneVersion(
  upstreams: readonly Upstream[],
  id: string | undefined,
  random: () => number,
): readonly Upstream[] {
  if (upstreams.length === 1) return upstreams
  const equal = upstreams.map((upstream) => ({ name: upstream.url.href, weight: 1, upstream }))
  if (id !== undefined) return keyOrder(equal, id).map(({ upstream }) => upstream)
  const drawn = drawOrder(equal, random).map(({ upstream }) => upstream)
  return drawn.toSorted((a, b) => a.inFlight - b.inFlight)
}

function stickyKey({ sticky }: RouteTable, request: IncomingMessage): string | undefined {
  if (sticky === undefined) return undefined
  if ('cookie' in sticky) return cookieOf(request, sticky.cookie) || undefined
  return [request.headers[sticky.header.toLowerCase()] ?? []].flat().join(', ') || undefined
}
