import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Cache } from '../core/cache.ts'
import { canonicalJson } from '../core/json.ts'
import { BaseSystemScan, type PackedScan } from '../debian/base-system.ts'
import { factsOf, type BaseFacts } from './base-facts.ts'
import type { OpenedBase, ResolveContext } from './context.ts'
import { scanBase, type BaseScan } from './scan-base.ts'

/** To be raised when more, or other things, are read of a base than before. */
const SCAN_VERSION = 3
const MAX_UNPACKED_BYTES = 512 << 20

/**
 * The facts of a base, whose layers are read when they were never read before.
 *
 * What was read is kept under the digests of the layers, each proven by its bytes: a tag that moves names other layers.
 *
 * @throws BuildError as `scanBase`
 */
export async function knownBaseFacts(
  { layers, config }: OpenedBase,
  { cache, signal }: Pick<ResolveContext, 'cache' | 'signal'>,
): Promise<BaseFacts> {
  const bases = cache('bases')
  const key = canonicalJson({ version: SCAN_VERSION, layers: layers.map(({ descriptor }) => descriptor.digest) })
  let scan = await load(bases, key)
  if (scan === undefined) {
    scan = await scanBase(layers, signal)
    if (scan.isProven) await bases.set(key, await pack(scan))
  }
  return factsOf(scan, config.config?.Env ?? [])
}

interface PackedBase {
  readonly files: Readonly<Record<string, string>>
  readonly paths: readonly string[]
  readonly system: PackedScan
}

async function pack({ files, paths, system }: BaseScan): Promise<Buffer> {
  const texts = [...files].map(([path, content]) => [path, content.toString('base64')])
  const packed: PackedBase = { files: Object.fromEntries(texts), paths: [...paths], system: system.pack() }
  return promisify(gzip)(JSON.stringify(packed), { level: 1 })
}

/** Our own cache entry; anything odd about it means that the layers are read again. */
async function load(cache: Cache, key: string): Promise<BaseScan | undefined> {
  const bytes = await cache.get(key)
  if (bytes === undefined) return undefined
  try {
    const text = await promisify(gunzip)(bytes, { maxOutputLength: MAX_UNPACKED_BYTES })
    const { files, paths, system } = JSON.parse(text.toString('utf8')) as PackedBase
    return {
      files: new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content, 'base64')])),
      paths: new Set(paths),
      system: BaseSystemScan.unpack(system),
      isProven: true,
    }
  } catch {
    // Our own entry, damaged or of another make: read from the image again.
    return undefined
  }
}
