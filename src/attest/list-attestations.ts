import { isIndexMediaType, type Descriptor, type Digest } from 'oci-spec-types'
import { parseManifest, type Source } from '../destinations/source.ts'
import { isImageIndex, type Image, type ImageIndex } from '../image/image.ts'

/** A document about an image: beside it in a registry or layout, or a member of its index. */
export interface Attestation {
  /** The image or index that it is about. */
  readonly subject: Digest
  /** Of the artifact that holds the document. */
  readonly digest: Digest
  readonly sizeBytes: number
  /** The artifact's type; the document's own where an artifact holds several. */
  readonly type: string
  /** What an in-toto statement says, by its address. */
  readonly predicateType?: string | undefined
}

/** Where an in-toto statement's predicate is named: by the guidelines and BuildKit, by cosign 2, by cosign 3. */
const PREDICATE_KEYS = ['in-toto.io/predicate-type', 'predicateType', 'dev.sigstore.bundle.predicateType']

/**
 * Everything that is kept about an image or its index; signatures and lists of components among it. Documents themselves
 * are not read, and nothing is verified.
 *
 * @see OCI image-spec, "Guidelines for Artifact Usage"; BuildKit, "Image attestation storage"; cosign, "Signature spec"
 */
export async function listAttestations(source: Source, image: Image | ImageIndex): Promise<readonly Attestation[]> {
  const images = isImageIndex(image) ? image.images.map((member) => member.image) : []
  const subjects = [image.descriptor.digest, ...images.map(({ descriptor }) => descriptor.digest)]
  const found: Attestation[] = []
  for (const subject of subjects) {
    for (const entry of (await source.attachments?.(subject)) ?? []) found.push(...(await open(source, subject, entry)))
  }
  for (const entry of isImageIndex(image) ? image.index.manifests : []) {
    const subject = subjectWithin(entry, subjects)
    if (subject !== undefined) found.push(...(await open(source, subject, entry)))
  }
  return found
}

/** Which member of the same index an entry is about, as BuildKit and SOCI write it. */
function subjectWithin({ annotations = {} }: Descriptor, subjects: readonly Digest[]): Digest | undefined {
  const named = annotations['vnd.docker.reference.digest'] ?? annotations['com.amazon.soci.image-manifest-digest']
  return subjects.find((subject) => subject === named)
}

/** An artifact with a type is one document; one without holds a document in each layer. */
async function open(source: Source, subject: Digest, entry: Descriptor): Promise<readonly Attestation[]> {
  const { digest, size: sizeBytes, artifactType, annotations } = entry
  const about = { subject, digest, sizeBytes }
  if (artifactType !== undefined || isIndexMediaType(entry.mediaType))
    return [{ ...about, type: artifactType ?? entry.mediaType, predicateType: predicateOf(annotations) }]
  const { layers } = await parseManifest(await source.manifest(entry), source.name)
  return layers.map((layer) => ({
    ...about,
    type: layer.mediaType,
    predicateType: predicateOf(layer.annotations),
    sizeBytes: layer.size,
  }))
}

function predicateOf(annotations: Descriptor['annotations']): string | undefined {
  return PREDICATE_KEYS.map((key) => annotations?.[key]).find((type) => type !== undefined)
}

/** What a document is, in the words of the trade: `components (SPDX)`. Types that nobody knows are said as they are. */
export function describeAttestation({ type, predicateType }: Pick<Attestation, 'type' | 'predicateType'>): string {
  const what = predicateType === undefined ? nameOf(type, TYPES) : nameOf(predicateType, PREDICATES)
  const isSigned = predicateType !== undefined && /dsse|sigstore\.bundle/.test(type)
  return isSigned && !what.startsWith('signature') ? `${what}, signed` : what
}

type Names = readonly (readonly [pattern: RegExp, words: string])[]

const TYPES: Names = [
  [/spdx/, 'components (SPDX)'],
  [/cyclonedx/, 'components (CycloneDX)'],
  [/in-toto/, 'statement (in-toto)'],
  [/dsse\.envelope/, 'statement (in-toto), signed'],
  [/cosign|sigstore/, 'signature (Sigstore)'],
  [/notary/, 'signature (Notary)'],
  [/amazon\.soci/, 'list for lazy pulling (SOCI)'],
]

const PREDICATES: Names = [
  [/slsa\.dev\/provenance/, 'provenance (SLSA)'],
  [/spdx/, 'components (SPDX)'],
  [/cyclonedx/, 'components (CycloneDX)'],
  [/cosign\.sigstore\.dev|sigstore\.dev\/cosign\/sign/, 'signature (Sigstore)'],
]

function nameOf(type: string, names: Names): string {
  return names.find(([pattern]) => pattern.test(type))?.[1] ?? type
}
