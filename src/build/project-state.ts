import type { Digest } from 'oci-spec-types'
import type { TreeLayerSpec } from '../../layers/kinds/tree.ts'
import type { Project } from '../../layers/project-list.ts'
import { lookAtProject } from '../../layers/project.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalJson } from '../core/json.ts'
import { settleAll } from '../core/settle.ts'
import type { Store } from '../store/store.ts'
import { readRevision, type Revision } from './revision.ts'
import { runtimeTree } from './runtime-tree.ts'

/** What a project's image is made of, besides answers of the world. */
export interface ProjectState {
  readonly project: Project
  /** Of the project. */
  readonly content: Digest
  /** This program's runtime. */
  readonly tree: TreeLayerSpec
  readonly revision: Revision | undefined
}

/** What a project's image is made of, as far as it takes to know whether it is the same. */
export interface StateLook extends Pick<ProjectState, 'tree' | 'revision'> {
  /** See `ProjectLook`. */
  readonly content: Digest
  /** All of it. */
  readonly state: () => ProjectState
}

/** Looks at what a project's image is made of. */
export type LookAtState = (folder: string, signal?: AbortSignal) => Promise<StateLook>

/** Looks once at each folder, for a command that first compares and then builds. */
export function stateLooker(store: Store, env: Readonly<Record<string, string | undefined>>): LookAtState {
  const looks = new Map<string, Promise<StateLook>>()
  return (folder, signal) => {
    const look = looks.get(folder) ?? lookAtState(folder, store, env, signal)
    looks.set(folder, look)
    return look
  }
}

async function lookAtState(
  folder: string,
  store: Store,
  env: Readonly<Record<string, string | undefined>>,
  signal?: AbortSignal,
): Promise<StateLook> {
  const hashes = store.cache('hashes')
  const [{ content, project }, tree, revision] = await settleAll([
    lookAtProject(folder, { hashes, signal }),
    runtimeTree(hashes),
    readRevision(folder, env),
  ])
  return { content, tree, revision, state: () => ({ project: project(), content, tree, revision }) }
}

/** One digest for it. */
export function stateDigest(folder: string, { content, tree, revision }: Omit<StateLook, 'state'>): Digest {
  return digestOf(canonicalJson({ folder, content, tree, revision: revision ?? null }))
}
