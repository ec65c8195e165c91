import type { Descriptor } from 'oci-spec-types'
import type { Open } from '../src/core/bytes.ts'
import type { Cache } from '../src/core/cache.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import type { Layer } from './layer.ts'

/** A layer that lies somewhere. */
export interface StoredLayer extends Pick<Layer, 'diffId' | 'source'> {
  readonly descriptor: Descriptor
  readonly open: Open
  /** As of {@link Layer}, where it is known. */
  readonly createdBy?: string | undefined
  /** Its digest is known, and no more: it is made when its bytes are asked for. */
  readonly isUnmade?: boolean
}

/** Keeps layers that were made once. */
export interface LayerStore {
  /**
   * The layer of a key when it and its bytes are there; marks it as used.
   *
   * @param createdBy  as of {@link Layer}, for progress
   */
  find(key: string, createdBy?: string): Promise<StoredLayer | undefined>
  /** The layer of a key when its bytes lie on this machine; nobody else is asked, and it is not taken for a part of the build. */
  readonly findHere?: ((key: string) => Promise<StoredLayer | undefined>) | undefined
  /** Reads a layer's stream to its end and keeps it, whole or not at all. */
  save(key: string, stream: FoundLayerStream): Promise<StoredLayer>
  /** Small facts about layers; losing one costs time. */
  readonly notes: Cache
  /** Does work on a key while nobody else who shares the store does; the work is told whether it had to wait. */
  alone<T>(key: string, work: (hasWaited: boolean) => Promise<T>, signal?: AbortSignal): Promise<T>
}
