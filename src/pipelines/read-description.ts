import { locateProblems, type LoadedConfig } from '../config/load.ts'
import { describeModel } from '../predictor/describe.ts'
import { describeProject, type ProjectDescription } from './describe-project.ts'

/**
 * Describes a project from its sources, without any memory.
 *
 * @throws as {@link describeProject}
 */
export function readDescription({
  config,
  projectFolder,
  file,
}: Pick<LoadedConfig, 'config' | 'projectFolder' | 'file'>): Promise<ProjectDescription> {
  return describeProject(config, {
    describe: (what) => describeModel({ ...what, projectFolder }),
    locate: (problems) => locateProblems(file, problems),
  })
}
