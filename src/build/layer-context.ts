import { rm } from 'node:fs/promises'
import type { LayerContext } from '../../layers/context.ts'
import { makeOpenPassing } from '../../layers/passing-file.ts'
import { makeOpenDirect } from '../../layers/range-file.ts'
import { makeOpenInMemory, makeOpenRemote, proveStored } from '../../layers/remote.ts'
import { LIMITS, makeLimiter } from '../core/limits.ts'
import { nested } from '../core/progress.ts'
import type { RemoteFile } from '../core/remote-file.ts'
import { factsCache } from '../debian/facts-file.ts'
import type { LockedPart } from '../lock/lock.ts'
import type { Store } from '../store/store.ts'
import type { BuildContext } from './context.ts'
import type { PlannedBuild } from './planned-build.ts'
import { sourceDate } from '../core/source-date.ts'
import { removeParts } from '../../layers/ztoc/spill.ts'
import { isIndexable, ztocTables } from './ztoc-tables.ts'

/** What the layers of a planned build may ask of the world. */
export function makeLayerContext(
  planned: Pick<PlannedBuild, 'headers' | 'lock' | 'projectFolder'>,
  context: BuildContext,
  isLazy = false,
): LayerContext {
  const { store, http, report, signal, isKeeping = true } = context
  // Downloads are part of the layers that ask for them.
  const downloads = {
    http,
    headers: planned.headers,
    limit: makeLimiter(LIMITS.downloads, (ms) => report({ type: 'spent', on: 'wait for network', ms })),
    report: nested(report, 'downloads'),
    signal,
  }
  const openRemote = isKeeping ? makeOpenRemote({ ...downloads, store }) : makeOpenInMemory(downloads)
  const parts = (sha256: string): readonly LockedPart[] => planned.lock.layers?.parts[sha256] ?? []
  const ranges = isKeeping ? store.cache('ranges') : undefined
  const openDirect = makeOpenDirect({ ...downloads, ranges, openWhole: openRemote, parts })
  return {
    openRemote,
    openDirect: async (file, options) => {
      const isStored = (await store.has(`sha256:${file.sha256}`)) === file.sizeBytes
      return isStored ? openRemote(file) : openDirect(file, options)
    },
    ...(isKeeping
      ? {
          releaseRemote: ({ sha256 }: RemoteFile) => rm(store.path(`sha256:${sha256}`), { force: true }),
          proveRemote: (file: RemoteFile) => proveStored(file, store),
        }
      : { directBytes: 0, openPassing: makeOpenPassing(downloads) }),
    projectFolder: planned.projectFolder,
    report,
    signal,
    // One build holds those of its own packages anyway.
    facts: isKeeping ? factsCache(store.cache('debian')) : undefined,
    mtimeSeconds: sourceDate(context.env),
    keepZtoc: isLazy ? keepZtoc(store) : undefined,
    spillFolder: store.temporaryFolder,
  }
}

function keepZtoc(store: Store): LayerContext['keepZtoc'] {
  return async (layer, ztoc) => {
    if (isIndexable(layer)) await ztocTables(store).keep(layer.digest, ztoc)
    else await removeParts(ztoc)
  }
}
