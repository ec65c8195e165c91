import { parseReference } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'
import { nearest } from '../core/suggest.ts'

/**
 * What to say of a name that the local store does not know and its registry did not give. A name without a registry is
 * Docker Hub's by the rules of references, but was most often meant to be a local one.
 *
 * @param name  as a user wrote it
 * @param local  names in the local store
 * @returns the error itself for every other name
 */
export function explainMissing(name: string, local: readonly string[], error: unknown): unknown {
  if (!(error instanceof BuildError) || error.code === 'REFERENCE_INVALID') return error
  if (name.startsWith('docker.io/') || parseReference(name).registry !== 'docker.io') return error
  // It is there: what failed is something else.
  if (local.includes(name)) return error
  const meant = nearest(name, local)
  return new BuildError(error.code, `There is no local image \`${name}\`, and Docker Hub did not give one`, {
    hint:
      meant === undefined
        ? `\`layerwright build -t ${name}\` makes a local one; \`layerwright cache ls\` lists what there is. A project needs no name: it is run from its own folder.`
        : `Did you mean \`${meant}\`?`,
    data: error.data,
    cause: error,
  })
}
