import { expect, test } from 'vitest'
import { describeAttestation } from '../../src/attest/list-attestations.ts'

test.each([
  ['application/spdx+json', undefined, 'components (SPDX)'],
  ['application/vnd.cyclonedx+json', undefined, 'components (CycloneDX)'],
  ['application/vnd.in-toto+json', undefined, 'statement (in-toto)'],
  ['application/vnd.in-toto+json', 'https://slsa.dev/provenance/v1', 'provenance (SLSA)'],
  ['application/vnd.in-toto+json', 'https://spdx.dev/Document', 'components (SPDX)'],
  ['application/vnd.in-toto+json', 'https://example.com/own/v1', 'https://example.com/own/v1'],
  ['application/vnd.dsse.envelope.v1+json', 'https://slsa.dev/provenance/v1', 'provenance (SLSA), signed'],
  ['application/vnd.dsse.envelope.v1+json', undefined, 'statement (in-toto), signed'],
  ['application/vnd.dev.cosign.simplesigning.v1+json', undefined, 'signature (Sigstore)'],
  ['application/vnd.dev.sigstore.bundle.v0.3+json', undefined, 'signature (Sigstore)'],
  ['application/vnd.dev.sigstore.bundle.v0.3+json', 'https://slsa.dev/provenance/v1', 'provenance (SLSA), signed'],
  ['application/vnd.dev.sigstore.bundle.v0.3+json', 'https://sigstore.dev/cosign/sign/v1', 'signature (Sigstore)'],
  ['application/vnd.cncf.notary.signature', undefined, 'signature (Notary)'],
  ['application/vnd.amazon.soci.index.v2+json', undefined, 'list for lazy pulling (SOCI)'],
  ['application/vnd.example.thing', undefined, 'application/vnd.example.thing'],
])('describeAttestation() says what %s with %s is', (type, predicateType, words) => {
  expect(describeAttestation({ type, predicateType })).toBe(words)
})
