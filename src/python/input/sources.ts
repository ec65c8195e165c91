import { BuildError } from '../../core/errors.ts'
import { maskUrl } from '../../core/http.ts'
import { evaluateMarker } from '../marker.ts'
import { targetMarkers, type Target } from '../target.ts'
import type { SourceRequirement } from './requirements-file.ts'

/** The sources whose markers hold on a target. */
export function sourcesFor(sources: readonly SourceRequirement[], target: Target): readonly SourceRequirement[] {
  const environment = { ...targetMarkers(target), extra: '' }
  return sources.filter(({ marker }) => marker === undefined || evaluateMarker(marker, environment))
}

/**
 * Refuses folders, source archives and repositories, which only a build could turn into wheels.
 *
 * @throws BuildError NOT_SUPPORTED naming each with its line
 */
export function assertResolvable(sources: readonly SourceRequirement[], target: Target): void {
  const [first, ...more] = sourcesFor(sources, target)
  if (first === undefined) return
  const lines = [first, ...more].map(({ origin, location }) => `${origin}: ${maskUrl(location)}`)
  throw new BuildError(
    'NOT_SUPPORTED',
    `These would have to be built first, and only wheels are resolved:\n  ${lines.join('\n  ')}`,
    {
      hint: 'Build a wheel (`pip wheel --no-deps <source>`) and name its file or URL instead.',
      data: {
        sources: [first, ...more].map(({ origin, name, location }) => ({ origin, name, location: maskUrl(location) })),
      },
    },
  )
}
