import type { Component } from './components.ts'
import type { DescribedImage } from './spdx.ts'

/** Media type of in-toto statements. */
export const IN_TOTO_MEDIA_TYPE = 'application/vnd.in-toto+json'

/** What is said of how an image was built. */
export const SLSA_PREDICATE_TYPE = 'https://slsa.dev/provenance/v1'

/** What decided a build, besides what it was made from. */
export interface BuildStatement {
  readonly image: DescribedImage & { readonly digest: string }
  /** The completed configuration as the image's label has it. */
  readonly configuration: unknown
  /** The commit of the project, when it is under version control. */
  readonly revision?: string | undefined
}

/**
 * Says in-toto's way what an image was built from: every wheel, package, interpreter and base by hash.
 *
 * There is no time and no host in it: equal images give equal statements, whoever builds them.
 *
 * @see https://slsa.dev/spec/v1.0/provenance; in-toto attestation, statement v1
 */
export function makeProvenance(
  { image, configuration, revision }: BuildStatement,
  components: readonly Component[],
): Record<string, unknown> {
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: image.name, digest: { sha256: image.digest.slice('sha256:'.length) } }],
    predicateType: SLSA_PREDICATE_TYPE,
    predicate: {
      buildDefinition: {
        buildType: 'https://layerwright.dev/build/v1',
        externalParameters: { configuration, platform: image.platform },
        resolvedDependencies: [
          ...(revision === undefined ? [] : [{ name: 'project', digest: { gitCommit: revision } }]),
          ...components.map(({ purl, sha256, url }) => ({
            uri: purl,
            digest: { sha256 },
            ...(url === undefined ? {} : { downloadLocation: url }),
          })),
        ],
      },
      runDetails: { builder: { id: 'https://layerwright.dev/builder', version: { layerwright: image.toolVersion } } },
    },
  }
}
