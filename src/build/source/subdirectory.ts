import { BuildError } from '../../core/errors.ts'

/** The folder of a source that a fragment names (`#subdirectory=path`). @throws BuildError REQUIREMENT_INVALID */
export function parseSubdirectory(fragment: URLSearchParams): string | undefined {
  const subdirectory = fragment.get('subdirectory') ?? ''
  if (subdirectory === '') return undefined
  if (subdirectory.startsWith('/') || subdirectory.split('/').includes('..')) {
    throw new BuildError('REQUIREMENT_INVALID', `Not a folder inside of the source: \`${subdirectory}\``)
  }
  return subdirectory.replace(/\/+$/, '')
}
