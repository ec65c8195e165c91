/** Thrown by {@link applyLayer} with `alone`: the layer deletes, or builds upon, what lower layers have. */
export class DependentLayerError extends Error {
  override readonly name = 'DependentLayerError'
}
