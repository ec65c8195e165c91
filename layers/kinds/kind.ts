import type { Claim } from '../clashes.ts'
import type { LayerContext } from '../context.ts'
import type { LayerFindings } from '../layer-check.ts'
import type { LayerStream } from '../layer.ts'
import type { ZtocParts } from '../ztoc/spill.ts'

/** A layer that is being made, with what was seen on the way where the kind looks. */
export interface FoundLayerStream extends LayerStream {
  /** Known when `blob` has ended. */
  findings?(): LayerFindings
  /** The table for lazy pulling, where one was made on the way; known when `blob` has ended. */
  ztoc?(): ZtocParts | undefined
  /** The paths that packages fill, for kinds whose layers may clash with others. */
  readonly claims?: readonly Claim[] | undefined
}

/**
 * A way to make a layer.
 *
 * Its spec is plain JSON and names all its inputs by content, so that equal specs give equal layers; members named
 * `url` say where, not what, and are no part of that.
 */
export interface LayerKind<Spec extends { readonly kind: string }> {
  readonly kind: Spec['kind']
  make(spec: Spec, context: LayerContext): Promise<FoundLayerStream> | FoundLayerStream
}
