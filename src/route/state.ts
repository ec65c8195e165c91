import type { IncomingMessage } from 'node:http'
import { VERSION_HEADER } from '../core/version-header.ts'
import { drawOrder, keyOrder } from './choose.ts'
import { cookieOf } from './headers.ts'
import { Mirror } from './mirror.ts'
import type { RouteTable } from './table.ts'
import { Upstream } from './upstream.ts'

/** A version with its server and share. */
export interface Side {
  readonly name: string
  readonly weight: number
  readonly upstream: Upstream
}

/** A table at work. A request keeps the one that it began with. */
export interface RouteState {
  readonly table: RouteTable
  readonly sides: readonly Side[]
  readonly mirror: { readonly side: Side; readonly share: number; readonly copies: Mirror } | undefined
}

/** Who may answer a request, in this order. */
export interface Candidates {
  readonly sides: readonly Side[]
  /** Only these may, whatever becomes of it: the version was named, or it alone knows the id. */
  readonly isFixed: boolean
}

/** Puts a table to work; servers whose name and address stay keep their connections, health and counts. */
export function makeState(table: RouteTable, before?: RouteState): RouteState {
  const sides = Object.entries(table.versions).map(([name, { url, weight }]): Side => {
    const old = before?.sides.find((side) => side.name === name && side.upstream.url.href === url.href)
    return { name, weight, upstream: old?.upstream ?? new Upstream(url) }
  })
  const side = sides.find(({ name }) => name === table.mirror?.to)
  if (table.mirror === undefined || side === undefined) return { table, sides, mirror: undefined }
  const { percent, max_bytes: maxBytes } = table.mirror
  return { table, sides, mirror: { side, share: percent / 100, copies: new Mirror(side.upstream, maxBytes) } }
}

/**
 * Who may answer a request: the version that it names, else that of its id, else in the order of its key, else by lot.
 * Versions that could not be reached a while ago come last.
 *
 * @param id  with the version that is known of it
 * @returns undefined when the request names a version that there is not
 */
export function chooseSides(
  { sides, table }: RouteState,
  request: IncomingMessage,
  id: { readonly text: string; readonly version: string | undefined } | undefined,
  world: { readonly now: number; readonly random: () => number },
): Candidates | undefined {
  const wanted = request.headers[VERSION_HEADER]
  if (wanted !== undefined) {
    const side = sides.find(({ name }) => name === wanted)
    return side === undefined ? undefined : { sides: [side], isFixed: true }
  }
  const known = id?.version === undefined ? undefined : sides.find(({ name }) => name === id.version)
  if (known !== undefined) return { sides: [known], isFixed: true }
  const key = stickyKey(table, request) ?? id?.text
  const order = key === undefined ? drawOrder(sides, world.random) : keyOrder(sides, key)
  const isOut = (side: Side): number => Number(side.upstream.isEjected(world.now))
  return { sides: order.toSorted((a, b) => isOut(a) - isOut(b)), isFixed: false }
}

function stickyKey({ sticky }: RouteTable, request: IncomingMessage): string | undefined {
  if (sticky === undefined) return undefined
  if ('cookie' in sticky) return cookieOf(request, sticky.cookie) || undefined
  return [request.headers[sticky.header.toLowerCase()] ?? []].flat().join(', ') || undefined
}
