import { matchesSpecifiers, type SpecifierSet } from './specifier.ts'
import type { Version } from './version.ts'

/**
 * Tells whether a Python is new enough for a `requires-python`.
 *
 * Upper bounds are ignored, as uv ignores them: they guess about Pythons that did not exist when they were written,
 * and a solver that believes them goes back to releases so old that they had no bound yet. Whether a compiled wheel
 * fits is said by its tags.
 */
export function allowsPython(specifiers: SpecifierSet, python: Version, text: string): boolean {
  const lower = specifiers.flatMap((specifier) => {
    if (specifier.operator === '>=' || specifier.operator === '>') return [specifier]
    const isLower = specifier.operator === '==' || specifier.operator === '~='
    return isLower ? [{ ...specifier, operator: '>=' as const, isPrefix: false }] : []
  })
  return matchesSpecifiers(lower, python, text)
}
