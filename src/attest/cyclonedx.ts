import { digestOf } from '../core/digest.ts'
import type { Component } from './components.ts'
import type { DescribedImage } from './spdx.ts'

/**
 * Writes the list of an image's components as CycloneDX 1.6. Equal images give equal documents.
 *
 * @see https://cyclonedx.org/docs/1.6/json/
 */
export function makeCycloneDx(image: DescribedImage, components: readonly Component[]): Record<string, unknown> {
  const root = image.digest === undefined ? image.name : `${image.name}@${image.digest}`
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify([root, image.platform, components]))}`,
    version: 1,
    metadata: {
      timestamp: image.created,
      tools: { components: [{ type: 'application', name: 'layerwright', version: image.toolVersion }] },
      component: {
        type: 'container',
        'bom-ref': root,
        name: image.name,
        ...(image.digest === undefined ? {} : { version: image.digest, hashes: [sha256(image.digest.slice(7))] }),
        properties: [{ name: 'layerwright:platform', value: image.platform }],
      },
    },
    components: components.map((component) => ({
      type: TYPES[component.kind],
      'bom-ref': component.purl,
      name: component.name,
      version: component.version,
      purl: component.purl,
      hashes: [sha256(component.sha256)],
      ...(component.url === undefined ? {} : { externalReferences: [{ type: 'distribution', url: component.url }] }),
    })),
    dependencies: [
      { ref: root, dependsOn: components.map(({ purl }) => purl) },
      ...components.map(({ purl, requires }) => ({ ref: purl, dependsOn: [...new Set(requires)] })),
    ],
  }
}

const TYPES = { python: 'library', debian: 'library', interpreter: 'platform', base: 'container' } as const

function sha256(content: string): Record<string, string> {
  return { alg: 'SHA-256', content }
}

/** A UUID that follows from the content (RFC 9562, version 8). */
function uuidOf(content: string): string {
  const hex = digestOf(content).slice(7)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
