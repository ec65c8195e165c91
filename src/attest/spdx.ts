import { digestOf } from '../core/digest.ts'
import type { Component } from './components.ts'

/** The image that a document is about. */
export interface DescribedImage {
  /** For people, such as `cog-hello`. */
  readonly name: string
  /** Of the image's manifest; absent before it is built. */
  readonly digest?: string | undefined
  /** `linux/amd64` */
  readonly platform: string
  /** RFC 3339, the image's own. */
  readonly created: string
  /** Of this program. */
  readonly toolVersion: string
}

/** Media type of SPDX documents in JSON. */
export const SPDX_MEDIA_TYPE = 'application/spdx+json'

/**
 * Writes the list of an image's components as SPDX 2.3. Equal images give equal documents.
 *
 * Licences are not asserted: nothing here has read them.
 *
 * @see https://spdx.github.io/spdx-spec/v2.3/
 */
export function makeSpdx(image: DescribedImage, components: readonly Component[]): Record<string, unknown> {
  const ids = new Map(components.map(({ purl }) => [purl, `SPDXRef-Package-${digestOf(purl).slice(7, 23)}`]))
  const name = image.digest === undefined ? image.name : `${image.name}@${image.digest}`
  const content = digestOf(JSON.stringify([name, image.platform, components]))
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${image.name} ${image.platform}`,
    documentNamespace: `https://layerwright.dev/spdx/${content.replace(':', '-')}`,
    creationInfo: { created: image.created, creators: [`Tool: layerwright-${image.toolVersion}`] },
    packages: [
      {
        ...UNSTATED,
        SPDXID: IMAGE_ID,
        name: image.name,
        ...(image.digest === undefined
          ? {}
          : { versionInfo: image.digest, checksums: [sha256(image.digest.slice(7))] }),
        downloadLocation: 'NOASSERTION',
        filesAnalyzed: false,
        primaryPackagePurpose: 'CONTAINER',
      },
      ...components.map((component) => ({
        ...UNSTATED,
        SPDXID: ids.get(component.purl),
        name: component.name,
        versionInfo: component.version,
        downloadLocation: component.url ?? 'NOASSERTION',
        filesAnalyzed: false,
        checksums: [sha256(component.sha256)],
        externalRefs: [
          { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: component.purl },
        ],
        primaryPackagePurpose: PURPOSES[component.kind],
      })),
    ],
    relationships: [
      relation('SPDXRef-DOCUMENT', 'DESCRIBES', IMAGE_ID),
      ...components.map(({ purl, kind }) =>
        kind === 'base'
          ? relation(IMAGE_ID, 'DESCENDANT_OF', ids.get(purl))
          : relation(IMAGE_ID, 'CONTAINS', ids.get(purl)),
      ),
      ...components.flatMap(({ purl, requires }) =>
        requires.map((required) => relation(ids.get(purl), 'DEPENDS_ON', ids.get(required))),
      ),
    ],
  }
}

const IMAGE_ID = 'SPDXRef-Image'
const UNSTATED = { licenseConcluded: 'NOASSERTION', licenseDeclared: 'NOASSERTION', copyrightText: 'NOASSERTION' }
const PURPOSES = { python: 'LIBRARY', debian: 'LIBRARY', interpreter: 'APPLICATION', base: 'CONTAINER' } as const

function sha256(checksumValue: string): Record<string, string> {
  return { algorithm: 'SHA256', checksumValue }
}

function relation(from: string | undefined, relationshipType: string, to: string | undefined): Record<string, unknown> {
  return { spdxElementId: from, relationshipType, relatedSpdxElement: to }
}
