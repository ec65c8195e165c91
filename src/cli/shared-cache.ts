import { parseReference } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'
import type { RemoteCache } from '../remote-cache/remote-cache.ts'
import type { SharedLayerStore } from '../remote-cache/shared-layer-store.ts'
import type { Io } from './command.ts'
import { readNamedFile } from './read-named-file.ts'
import type { World } from './world.ts'

/** The options about caches in registries. */
export interface CacheOptions {
  readonly cacheFrom: readonly string[]
  readonly cacheTo: readonly string[]
  readonly cacheVerify?: boolean
  readonly cacheSignKey?: string
  readonly cacheTrustKey: readonly string[]
}

/**
 * The layers of the local store and of the caches that the options name; undefined when they name none.
 *
 * @throws BuildError USAGE, REFERENCE_INVALID, FILE_UNREADABLE, CREDENTIALS_INVALID
 */
export async function openSharedLayers(
  options: CacheOptions,
  world: Pick<World, 'store' | 'registries'>,
  io: Io,
): Promise<SharedLayerStore | undefined> {
  const { cacheFrom, cacheTo, cacheVerify, cacheSignKey, cacheTrustKey } = options
  if (cacheVerify === true && cacheFrom.length === 0)
    throw new BuildError('USAGE', '--cache-verify needs a cache to compare with', { hint: 'Give --cache-from.' })
  if (cacheFrom.length === 0 && cacheTo.length === 0) return undefined
  const [{ layerStore }, { readSigningKey, readTrustedKey }, { makeRemoteCache }, { sharedLayerStore }] =
    await Promise.all([
      import('../../layers/layer-store.ts'),
      import('../remote-cache/record.ts'),
      import('../remote-cache/remote-cache.ts'),
      import('../remote-cache/shared-layer-store.ts'),
    ])
  const read = (path: string): Promise<Buffer> => readNamedFile(path, io.cwd)
  const signer = cacheSignKey === undefined ? undefined : readSigningKey(await read(cacheSignKey), cacheSignKey)
  const trusted = await Promise.all(cacheTrustKey.map(async (path) => readTrustedKey(await read(path), path)))
  const open =
    (actions: 'pull' | 'push') =>
    (text: string): RemoteCache =>
      makeRemoteCache({ client: world.registries.client(parseRepository(text), { actions }), signer, trusted })
  return sharedLayerStore(layerStore(world.store), {
    from: cacheFrom.map(open('pull')),
    to: cacheTo.map(open('push')),
    isVerifying: cacheVerify === true,
    report: io.report,
    signal: io.signal,
  })
}

function parseRepository(text: string): { readonly registry: string; readonly repository: string } {
  const { registry, repository, tag, digest } = parseReference(withoutBuildKitForm(text))
  if (tag === undefined && digest === undefined) return { registry, repository }
  throw new BuildError('USAGE', `A cache is a whole repository, without a tag: \`${text}\``)
}

/** BuildKit's way of saying it, `type=registry,ref=REPOSITORY,mode=max`, stands in many a pipeline. */
function withoutBuildKitForm(text: string): string {
  if (!/^\w+=/.test(text)) return text
  const fields = new Map(text.split(',').map((field) => [field.split('=', 1)[0], field.replace(/^[^=]*=/, '')]))
  const reference = fields.get('ref')
  if (reference !== undefined && (fields.get('type') ?? 'registry') === 'registry') return reference
  throw new BuildError('USAGE', `A cache is a repository of a registry: \`${text}\``, {
    hint: 'Name the repository alone, such as registry.example.com/me/cache.',
  })
}
