import { nearest } from '../core/suggest.ts'
import type { LockedChoice, PlatformLock } from './lock.ts'

/** Why something is as it is in one platform's lock. */
export type Explanation =
  | { readonly kind: 'choice'; readonly choice: LockedChoice }
  | {
      readonly kind: 'package'
      readonly name: string
      readonly version: string
      /** Whether the project names it itself. */
      readonly requested: boolean
      /** From a package that the project names down to this one; the shortest such chain. */
      readonly chain: readonly string[]
      /** Every locked package that requires it, sorted. */
      readonly requiredBy: readonly string[]
    }

/** Explains a choice by its key (`cuda`, `base`, ...), or a package by its name; a name may be both. */
export function explain(lock: PlatformLock, name: string): readonly Explanation[] {
  const choices = lock.choices.filter(({ key }) => key === name).map((choice) => ({ kind: 'choice', choice }) as const)
  const normal = name.toLowerCase().replaceAll(/[-_.]+/g, '-')
  const wheel = lock.wheels.find((wheel) => wheel.name === normal)
  if (wheel === undefined) return choices
  const requiredBy = lock.wheels.filter(({ dependencies }) => dependencies.includes(normal)).map((wheel) => wheel.name)
  const { version, requested } = wheel
  return [
    ...choices,
    { kind: 'package', name: normal, version, requested, chain: shortestChain(lock, normal), requiredBy },
  ]
}

/** What else could have been asked for: the nearest known key or package, and all keys. */
export function explainable(
  lock: PlatformLock,
  name: string,
): { readonly nearest?: string; readonly keys: readonly string[] } {
  const keys = [...new Set(lock.choices.map(({ key }) => key))]
  const near = nearest(name, [...keys, ...lock.wheels.map((wheel) => wheel.name)])
  return { keys, ...(near === undefined ? {} : { nearest: near }) }
}

function shortestChain(lock: PlatformLock, target: string): readonly string[] {
  const byName = new Map(lock.wheels.map((wheel) => [wheel.name, wheel]))
  const chains = new Map(lock.wheels.filter(({ requested }) => requested).map(({ name }) => [name, [name]]))
  // Breadth first: a map is walked in the order in which its entries come, also those added on the way.
  for (const [name, chain] of chains) {
    if (name === target) return chain
    for (const next of byName.get(name)?.dependencies ?? []) {
      if (!chains.has(next)) chains.set(next, [...chain, next])
    }
  }
  return []
}
