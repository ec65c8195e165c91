/** Longer orders than this are cut: no class of a real project has so many ancestors. */
const MAX_ANCESTORS = 200

/**
 * The order in which Python looks through a class and its ancestors (C3), from the orders of its bases.
 *
 * Where Python would refuse the class, the order is that of the bases one after the other.
 *
 * @see "The Python 2.3 Method Resolution Order", python.org
 */
export function methodOrder<T>(own: T, orders: readonly (readonly T[])[], bases: readonly T[]): readonly T[] {
  const order: T[] = [own]
  let left = [...orders, bases].filter((list) => list.length > 0)
  while (left.length > 0 && order.length < MAX_ANCESTORS) {
    const later = new Set(left.flatMap((list) => list.slice(1)))
    const next = left.map(([first]) => first).find((first) => first !== undefined && !later.has(first)) ?? left[0]?.[0]
    if (next === undefined) break
    order.push(next)
    left = left.map((list) => list.filter((member) => member !== next)).filter((list) => list.length > 0)
  }
  return order
}
