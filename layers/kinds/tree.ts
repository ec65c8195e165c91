import { join } from 'node:path'
import { packageRoot } from '../../src/core/package-root.ts'
import { layerOfEntries } from '../files.ts'
import type { ListedFile } from '../listed-files.ts'
import { entriesOf } from '../project-files.ts'
import type { LayerKind } from './kind.ts'

/** Files that come with this program, such as the launcher. */
export interface TreeLayerSpec {
  readonly kind: 'tree'
  /** What it is, for the history line. */
  readonly label: string
  readonly parts: readonly {
    /** Folder relative to this package. */
    readonly root: string
    /** Absolute path in the image. */
    readonly target: string
    readonly files: readonly ListedFile[]
  }[]
}

/** Lays files of this package. */
export const treeKind: LayerKind<TreeLayerSpec> = {
  kind: 'tree',
  // The program's own files have the program's own time: SOURCE_DATE_EPOCH is about the project.
  make: ({ parts }, { compression }) =>
    layerOfEntries(
      parts.flatMap(({ root, target, files }) => [...entriesOf(files, join(packageRoot(), root), target)]),
      { compression },
    ),
}
