import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pLimit from 'p-limit'
import { digestHex, type Digest } from 'oci-spec-types'
import type { Layer } from '../../layers/layer.ts'
import { writeFileAtomically } from '../core/atomic-file.ts'
import { digestOf, verify } from '../core/digest.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'
import { startTask, type Report } from '../core/progress.ts'
import { hostPath } from './layer-view.ts'
import { markUsed } from './prune-rootfs.ts'
import type { ApplyResult } from './unpack/apply-layer.ts'
import { DependentLayerError } from './unpack/dependent-layer.ts'
import { removeTree } from './unpack/remove-tree.ts'
import type { BytePath } from './unpack/tar-entries.ts'
import type { UnpackPool } from './unpack/threads/pool.ts'

/** Where unpacked layers are kept, and how. */
export interface RootfsCache {
  /** Made when missing, for this user alone. */
  readonly folder: string
  /** True when files get the owners of the image, which only root can give. */
  readonly keepOwners: boolean
  readonly report: Report
  readonly signal?: AbortSignal | undefined
}

/**
 * Unpacks the layers of an image that are not unpacked yet.
 *
 * A layer that is complete in itself has a folder of its own, shared by all images that hold it, so that a changed line
 * of code unpacks kilobytes. One that deletes files, or puts some below directories that it does not bring, means
 * something only on top of the layers below it; those are merged with it into one tree. The layers above that stay apart.
 *
 * A folder appears by a rename when it is whole and verified; killed or concurrent runs leave nothing half-made that
 * another would use.
 *
 * @returns folders whose overlay is the root file system, topmost first. They must not be written to.
 */
export async function unpackImage(layers: readonly Layer[], cache: RootfsCache): Promise<string[]> {
  await makeFolders(cache)
  let merged = await unpackAlone(layers, cache)
  for (;;) {
    const above = layers.slice(merged + 1)
    const folders = above.map((layer) => layerFolder(layer, cache))
    if (merged >= 0) folders.unshift(await mergeTree(layers.slice(0, merged + 1), cache))
    const offset = folders.length - above.length
    const shown = above.findLastIndex((layer, index) => showsMark(layer, folders.slice(0, index + offset), cache))
    if (shown === -1) {
      // Steps that change nothing are one layer; no overlay takes a folder twice, and the upper one shows all of the lower.
      const unique = [...new Set(folders.reverse())]
      for (const folder of unique) markUsed(folder)
      return unique
    }
    merged += shown + 1
  }
}

/**
 * Tells whether a layer deletes something in a directory that no folder below it has. An overlay shows a directory of one
 * folder as it is, such a mark as a broken file.
 */
function showsMark(layer: Layer, below: readonly string[], cache: RootfsCache): boolean {
  const file = deletionsFile(layer, cache)
  if (!existsSync(file)) return false
  const directories = JSON.parse(readFileSync(file, 'utf8')) as readonly BytePath[]
  return !directories.every((path) => below.some((folder) => existsSync(hostPath(folder, path))))
}

/**
 * Unpacks the layers of an image into one tree, for hosts that cannot stack them.
 *
 * @returns the tree, which must not be written to
 */
export async function unpackMerged(layers: readonly Layer[], cache: RootfsCache): Promise<string> {
  await makeFolders(cache)
  return mergeTree(layers, cache)
}

/**
 * Identifies a stack of layers.
 *
 * @param diffIds lowest first
 * @see OCI image-spec, config.md, "Layer ChainID"
 */
export function chainId(diffIds: readonly Digest[]): Digest {
  const [first, ...rest] = diffIds
  if (first === undefined) throw new RangeError('No layers')
  return rest.reduce((below, diffId) => digestOf(`${below} ${diffId}`), first)
}

async function makeFolders(cache: RootfsCache): Promise<void> {
  for (const folder of ['layers', 'trees', 'dependent', 'deletions', 'tmp']) {
    await makeFolder(join(cache.folder, folder), 0o700)
  }
}

/** Unpacks layers one by one from the top; gives back the index of the highest that cannot stand alone, else -1. */
async function unpackAlone(layers: readonly Layer[], cache: RootfsCache): Promise<number> {
  let dependent = layers.findLastIndex((layer) => existsSync(dependentMarker(layer, cache)))
  const jobs = layers.map((layer, index) => ({ layer, index })).reverse()
  const missing = jobs.filter(({ layer, index }) => index > dependent && !existsSync(layerFolder(layer, cache)))
  if (missing.length === 0) return dependent
  const { makeUnpackPool } = await import('./unpack/threads/pool.ts')
  const pool = makeUnpackPool()
  // Without threads two at a time: inflating one while the other is hashed and written.
  const limit = pLimit(pool?.size ?? 2)
  const outcomes = await Promise.allSettled(
    missing.map(({ layer, index }) =>
      limit(async () => {
        if (index <= dependent) return
        try {
          await publish(layerFolder(layer, cache), cache, async (folder) => {
            const { deletesIn } = await unpackOne(folder, layer, true, cache, pool)
            // Before the folder has its name: who finds that finds this.
            if (deletesIn.length > 0) await writeFileAtomically(deletionsFile(layer, cache), JSON.stringify(deletesIn))
          })
        } catch (error) {
          if (!(error instanceof DependentLayerError)) throw error
          writeFileSync(dependentMarker(layer, cache), error.message)
          dependent = Math.max(dependent, index)
        }
      }),
    ),
  )
  await pool?.close()
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return dependent
}

/** Smaller layers are unpacked before a thread has started. */
const THREAD_BYTES = 4 * 1024 * 1024

async function mergeTree(layers: readonly Layer[], cache: RootfsCache): Promise<string> {
  const target = join(cache.folder, 'trees', digestHex(chainId(layers.map((layer) => layer.diffId))))
  if (existsSync(target)) return target
  await publish(target, cache, async (folder) => {
    for (const layer of layers) await unpackOne(folder, layer, false, cache)
  })
  return target
}

async function unpackOne(
  folder: string,
  layer: Layer,
  alone: boolean,
  cache: RootfsCache,
  pool?: UnpackPool,
): Promise<ApplyResult> {
  // Most starts unpack nothing, and should not load what does.
  const { unpackLayer } = await import('./unpack/unpack-layer.ts')
  const task = startTask(cache.report, `unpack ${layer.descriptor.digest.slice(0, 19)}`, {
    totalBytes: layer.descriptor.size,
  })
  try {
    let done = 0
    const open: Layer['open'] = async function* (options) {
      for await (const chunk of layer.open(options)) {
        done += chunk.length
        task.bytes(done)
        yield chunk
      }
    }
    const unpack = pool === undefined || layer.descriptor.size < THREAD_BYTES ? unpackLayer : pool.unpack
    const result = await unpack(
      folder,
      { ...layer, open },
      {
        keepOwners: cache.keepOwners,
        alone,
        note: (text) => cache.report({ type: 'note', level: 'info', text }),
        signal: cache.signal,
      },
    )
    task.end()
    return result
  } catch (error) {
    task.end(error instanceof DependentLayerError ? 'skipped' : 'failed')
    if (error instanceof BuildError && error.code === 'ARCHIVE_INVALID') await assertWhole(layer, cache)
    throw error
  }
}

/** A layer that is no archive may be a damaged copy of one that is; that is then the news. */
async function assertWhole({ descriptor, open }: Layer, { signal }: RootfsCache): Promise<void> {
  const blob = verify(open({ signal }), descriptor, `the layer ${descriptor.digest}`)
  for await (const _ of blob);
}

/** Fills a temporary folder and gives it its final name; a folder that another run made meanwhile is as good. */
async function publish(target: string, cache: RootfsCache, fill: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(cache.folder, 'tmp', `unpack-${process.pid}-`))
  try {
    chmodSync(folder, 0o755)
    await fill(folder)
    await syncFileSystem(folder)
    renameSync(folder, target)
  } catch (error) {
    removeTree(folder)
    const code = systemErrorCode(error)
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
  }
}

/** After a power loss a renamed folder may not hold less than it seems to. */
async function syncFileSystem(folder: string): Promise<void> {
  try {
    await promisify(execFile)('sync', ['-f', folder])
  } catch (error) {
    // Without the program the kernel writes back by itself within seconds; nothing else depends on it.
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}

function layerFolder(layer: Layer, cache: RootfsCache): string {
  return join(cache.folder, 'layers', digestHex(layer.diffId))
}

/** Lists the directories in which a layer deletes something. */
function deletionsFile(layer: Layer, cache: RootfsCache): string {
  return join(cache.folder, 'deletions', `${digestHex(layer.diffId)}.json`)
}

function dependentMarker(layer: Layer, cache: RootfsCache): string {
  return join(cache.folder, 'dependent', digestHex(layer.diffId))
}
