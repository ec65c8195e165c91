import type { SourceReader } from '../python/source-package.ts'
import type { ResolveContext, SourceSite } from '../resolve/context.ts'
import type { BuildContext, BuildRequest } from './context.ts'
import { basesOf } from './locked-base.ts'
import { sourceContext } from './source-context.ts'
import { makeSourceReader } from './source/reader.ts'

/** What resolving a project takes. */
export function resolving(
  projectFolder: string,
  { network = 'host', buildsSources = true }: Pick<BuildRequest, 'network' | 'buildsSources'>,
  given: BuildContext,
): ResolveContext {
  const context = { ...given, ...basesOf(given, projectFolder) }
  const sources = (site: SourceSite): SourceReader =>
    makeSourceReader(site, { ...sourceContext(projectFolder, network, context), headers: site.settings.headers })
  return {
    ...context,
    cache: (space) => context.store.cache(space),
    projectFolder,
    ...(buildsSources ? { sources } : {}),
  }
}
