import type { Digest } from 'oci-spec-types'
import type { TreeLayerSpec } from '../../layers/kinds/tree.ts'
import { readProject, type Project } from '../../layers/project.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalJson } from '../core/json.ts'
import { settleAll } from '../core/settle.ts'
import type { Store } from '../store/store.ts'
import { readRevision, type Revision } from './revision.ts'
import { runtimeTree } from './runtime-tree.ts'

/** What a project's image is made of, besides answers of the world. */
export interface ProjectState {
  readonly project: Project
  /** This program's runtime. */
  readonly tree: TreeLayerSpec
  readonly revision: Revision | undefined
}

/** Looks at all that a project's image is made of. */
export async function readProjectState(
  folder: string,
  store: Store,
  env: Readonly<Record<string, string | undefined>>,
  signal?: AbortSignal,
): Promise<ProjectState> {
  const hashes = store.cache('hashes')
  const [project, tree, revision] = await settleAll([
    readProject(folder, { hashes, signal }),
    runtimeTree(hashes),
    readRevision(folder, env),
  ])
  return { project, tree, revision }
}

/** One digest for it. */
export function projectDigest(folder: string, { project, tree, revision }: ProjectState): Digest {
  return digestOf(canonicalJson({ folder, project, tree, revision: revision ?? null }))
}
