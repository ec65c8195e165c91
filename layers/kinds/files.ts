import { join } from 'node:path'
import { layerOfEntries } from '../files.ts'
import { entriesOf, type ListedFile } from '../project-files.ts'
import type { LayerKind } from './kind.ts'

/** Files of the project, as they are. */
export interface FilesLayerSpec {
  readonly kind: 'files'
  /** Folder relative to the project, `.` for itself. */
  readonly root: string
  /** Absolute path in the image. */
  readonly target: string
  readonly files: readonly ListedFile[]
}

/** Lays files of the project. */
export const filesKind: LayerKind<FilesLayerSpec> = {
  kind: 'files',
  make: ({ files, root, target }, context) =>
    layerOfEntries(entriesOf(files, join(context.projectFolder, root), target), context),
}
