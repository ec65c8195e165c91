import { matchesSpecifiers, type Specifier, type SpecifierSet } from './specifier.ts'
import { compareVersions, parseVersion, type Version } from './version.ts'
import { fullPythonVersion } from './target.ts'

/** The Python of a target as `requires-python` sees it. */
export interface TargetPython {
  /** Full: `3.11.0`. */
  readonly version: Version
  readonly text: string
  /** False when only `3.11` was stated; then no patch release in particular is meant. */
  readonly isPatchKnown: boolean
}

/** Reads a target's `pythonVersion`. */
export function targetPython(pythonVersion: string): TargetPython {
  const text = fullPythonVersion(pythonVersion)
  return { version: parseVersion(text), text, isPatchKnown: text === pythonVersion.replace(/t$/, '') }
}

/**
 * Tells whether a Python is new enough for a `requires-python`, and not one that it excludes.
 *
 * Upper bounds are ignored, as uv ignores them: they guess about Pythons that did not exist when they were written,
 * and a solver that believes them goes back to releases so old that they had no bound yet. Whether a compiled wheel
 * fits is said by its tags. Without a known patch the first one is compared with lower bounds, and an exclusion such as
 * `!=3.9.0` counts only where it raises the lower bound itself (`>=3.9,!=3.9.0`), as in uv.
 */
export function allowsPython(specifiers: SpecifierSet, python: TargetPython): boolean {
  const lower = specifiers.flatMap(lowerBound)
  if (!matchesSpecifiers(lower, python.version, python.text)) return false
  const excluded = specifiers.filter(({ operator }) => operator === '!=')
  const isExcluded = !matchesSpecifiers(excluded, python.version, python.text)
  return !isExcluded || (!python.isPatchKnown && !lower.some((bound) => isAt(bound, python.version)))
}

function lowerBound(specifier: Specifier): readonly Specifier[] {
  if (specifier.operator === '>=' || specifier.operator === '>') return [specifier]
  const isLower = specifier.operator === '==' || specifier.operator === '~='
  return isLower ? [{ ...specifier, operator: '>=', isPrefix: false }] : []
}

function isAt({ version }: Specifier, python: Version): boolean {
  return version !== undefined && compareVersions(version, python) === 0
}
