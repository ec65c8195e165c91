import { digestAlgorithm, digestHex, isDigest, type Descriptor, type Digest } from 'oci-spec-types'
import type { RegistryClient } from '../../registry/client.ts'
import { formatFamiliar, referenceTag, type Reference } from '../../registry/reference.ts'
import type { Registries } from '../../registry/registries.ts'
import { BuildError } from '../core/errors.ts'
import { isForeign } from './content.ts'
import type { Source } from './source.ts'

/** Reads from a registry. Layers are not fetched before they are opened, so a copy that mounts them never does. */
export function registrySource(reference: Reference, registries: Registries): Source {
  const { registry, repository, digest } = reference
  const name = formatFamiliar(reference)
  if (digest !== undefined && !isDigest(digest))
    throw new BuildError('NOT_SUPPORTED', `Digests of this algorithm are not supported: \`${name}\``, {
      hint: 'Use the sha256 or sha512 digest of the image.',
    })
  const client: RegistryClient = registries.client({ registry, repository }, { actions: 'pull' })
  return {
    name,
    root: () => client.getManifest(digest ?? referenceTag(reference) ?? 'latest'),
    manifest: (descriptor) => client.getManifest(descriptor.digest),
    blob: (descriptor: Descriptor) =>
      isForeign(descriptor) ? registries.openForeign(descriptor) : client.openBlob(descriptor),
    home: { registry, repository },
    attachments: async (subject) => [...(await client.referrers(subject)), ...(await cosignTags(client, subject))],
  }
}

/** What cosign keeps under tags that it derives from a digest, as before there were referrers. */
async function cosignTags(client: RegistryClient, subject: Digest): Promise<readonly Descriptor[]> {
  const stem = `${digestAlgorithm(subject)}-${digestHex(subject)}`
  const found = await Promise.all(['sig', 'att', 'sbom'].map((kind) => client.headManifest(`${stem}.${kind}`)))
  return found.filter((descriptor) => descriptor !== undefined)
}
