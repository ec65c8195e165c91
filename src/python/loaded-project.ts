import type { Project } from './index/client.ts'
import type { ProjectVersion } from './project-versions.ts'

/** A project with its versions, oldest first; all sets of the solver count along this array. */
export interface LoadedProject {
  readonly name: string
  readonly project: Project
  readonly versions: readonly ProjectVersion[]
}
