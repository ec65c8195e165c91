import type { PackageKey } from './solver/incompatibility.ts'

/** The package of a key, without its extra: `a` of `a[b]`. */
export function baseOf(key: PackageKey): PackageKey {
  const bracket = key.indexOf('[')
  return bracket === -1 ? key : key.slice(0, bracket)
}

/** The extra of a key: `b` of `a[b]`; undefined for a package itself. */
export function extraOf(key: PackageKey): string | undefined {
  return /\[(.*)\]$/.exec(key)?.[1]
}
