import type { Digest } from 'oci-spec-types'
import type { ListedFile } from '../../layers/listed-files.ts'
import { readProject } from '../../layers/project.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalJson } from '../core/json.ts'

/** What builds and tools leave in a folder of sources; none of it belongs to the package. */
const LEFT_OUT = ['.git', '.hg', '**/__pycache__', '**/*.pyc', '*.egg-info', 'build', 'dist', '.tox', '.venv', 'venv']

/** A folder of sources by content. */
export interface SourceFolder {
  readonly files: readonly ListedFile[]
  readonly digest: Digest
}

/** Lists a folder of sources: all but what `.dockerignore` there, or habit, leaves out. */
export async function readSourceFolder(folder: string, signal?: AbortSignal): Promise<SourceFolder> {
  const { code, weights } = await readProject(folder, { exclude: LEFT_OUT, signal })
  const files = [...code, ...weights].sort((a, b) => (a.path < b.path ? -1 : 1))
  return { files, digest: digestOf(canonicalJson(files)) }
}
