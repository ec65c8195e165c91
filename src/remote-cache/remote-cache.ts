import type { KeyObject } from 'node:crypto'
import type { Descriptor } from 'oci-spec-types'
import type { RegistryClient } from '../../registry/client.ts'
import { RegistryError } from '../../registry/errors.ts'
import { readManifest } from '../../registry/manifest.ts'
import type { Layer } from '../../layers/layer.ts'
import type { StoredLayer } from '../../layers/stored-layer.ts'
import { collect, openBytes } from '../core/bytes.ts'
import { digestOf, verify } from '../core/digest.ts'
import { decodeRecord, EMPTY_CONFIG, encodeRecord, tagOfKey } from './record.ts'

/** A cache of layers in a repository of a registry. */
export interface RemoteCache {
  /** `host/repository`, for messages. */
  readonly name: string
  /** Where its blobs lie, so that pushes beside it can mount them. */
  readonly home: NonNullable<Layer['source']>
  /** The layer of a key, when it and its bytes are there. Nothing of it is downloaded. @throws RegistryError */
  find(key: string): Promise<CachedLayer | undefined>
  /** Makes the layer of a key be there. @throws RegistryError */
  save(key: string, layer: SavedLayer): Promise<'saved' | 'exists'>
}

/** A layer in a registry. */
export interface CachedLayer extends StoredLayer {
  readonly source: NonNullable<Layer['source']>
  /** Reads facts about the layer; undefined when this cache has none of that name. */
  note(name: string): Promise<Buffer | undefined>
}

/** What is saved of a layer. */
export interface SavedLayer extends Pick<Layer, 'descriptor' | 'diffId' | 'open' | 'source'> {
  /** What it was made from, as JSON. */
  readonly inputs?: unknown
  /** Facts about it, by name. */
  readonly notes?: ReadonlyMap<string, Buffer> | undefined
}

/** Settings of {@link makeRemoteCache}. */
export interface RemoteCacheOptions {
  /** Opened for `push` where `save` is to be used. */
  readonly client: RegistryClient
  /** Signs what is saved. */
  readonly signer?: KeyObject | undefined
  /** Only records that one of these keys signed are believed. */
  readonly trusted?: readonly KeyObject[] | undefined
}

const NOTE_LIMIT = 64 * 2 ** 20

/**
 * A repository as a cache of layers.
 *
 * A key is a tag of a small artifact manifest whose first layer is the layer itself; so the registry keeps the blob as long
 * as the tag, any registry's clean-up by tag works, and images in other repositories mount the blob.
 */
export function makeRemoteCache({ client, signer, trusted }: RemoteCacheOptions): RemoteCache {
  const home = { registry: client.registry, repository: client.repository }
  const name = `${home.registry}/${home.repository}`

  const readNote = async (descriptor: Descriptor): Promise<Buffer> => {
    const what = `a note of ${name}`
    return collect(verify(client.openBlob(descriptor)(), descriptor, what), Math.min(descriptor.size, NOTE_LIMIT))
  }

  return {
    name,
    home,
    async find(key) {
      const bytes = await readTag(client, tagOfKey(key))
      const record = bytes === undefined ? undefined : decodeRecord(bytes, key, trusted)
      if (record === undefined) return undefined
      const { descriptor, diffId, notes } = record
      // A registry that was cleaned up badly may have kept the manifest and lost the blob.
      const found = await client.headBlob(descriptor.digest)
      if (found === undefined || (found.size !== undefined && found.size !== descriptor.size)) return undefined
      return {
        descriptor,
        diffId,
        open: client.openBlob(descriptor),
        source: home,
        note: async (name) => {
          const note = notes.get(name)
          return note === undefined ? undefined : readNote(note)
        },
      }
    },
    async save(key, { descriptor, diffId, open, source, inputs, notes = new Map() }) {
      const blobs = [...notes].map(([name, bytes]) => ({
        name,
        open: openBytes(bytes),
        descriptor: { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length },
      }))
      const record = {
        key,
        descriptor,
        diffId,
        inputs,
        notes: new Map(blobs.map(({ name, descriptor }) => [name, descriptor])),
      }
      const manifest = readManifest(encodeRecord(record, signer), undefined, name)
      const tag = tagOfKey(key)
      const [known, blob] = await Promise.all([client.headManifest(tag), client.headBlob(descriptor.digest)])
      // Both are asked: what a registry's clean-up has lost is brought back.
      if (known?.digest === manifest.descriptor.digest && blob !== undefined) return 'exists'
      const from = source?.registry === home.registry ? source.repository : undefined
      if (blob === undefined) await client.pushBlob({ descriptor, open }, { from })
      await client.pushBlob({ descriptor: EMPTY_CONFIG, open: openBytes(Buffer.from('{}')) })
      for (const blob of blobs) await client.pushBlob(blob)
      await client.putManifest(tag, manifest)
      return 'saved'
    },
  }
}

async function readTag(client: RegistryClient, tag: string): Promise<Buffer | undefined> {
  try {
    return (await client.getManifest(tag)).bytes
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return undefined
    throw error
  }
}
