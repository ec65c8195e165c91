import { join } from 'node:path'
import { layerOfSorted } from '../files.ts'
import type { ListedFiles } from '../listed-files.ts'
import { entriesOf } from '../project-files.ts'
import type { LayerKind } from './kind.ts'

/** Files of the project, as they are. */
export interface FilesLayerSpec {
  readonly kind: 'files'
  /** Folder relative to the project, `.` for itself. */
  readonly root: string
  /** Absolute path in the image. */
  readonly target: string
  /** Those that are made when they are asked for are the same each time. */
  readonly files: ListedFiles
}

/** Lays files of the project. */
export const filesKind: LayerKind<FilesLayerSpec> = {
  kind: 'files',
  make: ({ files, root, target }, context) =>
    layerOfSorted(entriesOf(files, join(context.projectFolder, root), target), context),
}
