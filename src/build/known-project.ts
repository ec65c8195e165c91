import type { Config } from '../config/config.ts'
import type { Cache } from '../core/cache.ts'
import type { ProjectDescription } from '../pipelines/describe-project.ts'
import { describeKnownModel } from './known-model.ts'

/** A project whose configuration has been read. */
interface ReadProject {
  readonly config: Config
  readonly projectFolder: string
  /** What the configuration was loaded from, for the places of problems. */
  readonly path: string
}

/**
 * Describes a project, or remembers of each of its models what is known of it.
 *
 * @throws as `describeProject`
 */
export async function describeKnownProject(
  { config, projectFolder, path }: ReadProject,
  cache: Cache,
): Promise<ProjectDescription> {
  const { run, train, concurrency, models } = config
  // One model needs nothing of what several do, and is what most projects have.
  if (models === undefined)
    return describeKnownModel({ projectFolder, run, train, maxConcurrency: concurrency?.max }, cache)
  const { describeProject } = await import('../pipelines/describe-project.ts')
  return describeProject(config, {
    describe: (what) => describeKnownModel({ run: undefined, train: undefined, ...what, projectFolder }, cache),
    locate: async (problems) => {
      const { locateProblems } = await import('../config/load.ts')
      return locateProblems(path, problems)
    },
  })
}
