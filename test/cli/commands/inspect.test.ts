import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI, type Manifest } from 'oci-spec-types'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Registries } from '../../../registry/registries.ts'
import { serveRegistry, type ServedRegistry } from '../../../registry/server/serve.ts'
import { referrerContent, type Statement } from '../../../src/attest/referrer.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { openBytes } from '../../../src/core/bytes.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { contentOf, copyContent, copyImage, openDestination, type Content } from '../../../src/destinations/index.ts'
import type { Image } from '../../../src/image/image.ts'
import { recordIo } from '../../support/output.ts'
import { sampleImage } from '../../support/sample-image.ts'

const SLSA = { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1' }
const STATEMENTS: readonly Statement[] = [
  { mediaType: 'application/spdx+json', bytes: Buffer.from('{"spdx":1}') },
  { mediaType: 'application/vnd.dsse.envelope.v1+json', bytes: Buffer.from('{"payload":""}'), annotations: SLSA },
]

let folder: string
let served: ServedRegistry
let registries: Registries
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'inspect-'))
  served = await serveRegistry({ storage: { kind: 'memory' } })
  registries = new Registries({ env: {}, home: '/nonexistent' })
})
afterEach(async () => {
  await served.close()
  await rm(folder, { recursive: true, force: true })
})

async function inspect(image: string, ...args: readonly string[]): Promise<string> {
  const io = recordIo({ cwd: folder, env: { LAYERWRIGHT_CACHE: join(folder, 'store') } })
  const status = await runCommandLine(['inspect', image, '--insecure', ...args], io)
  expect([status, io.stderr.text()]).toEqual([0, ''])
  return io.stdout.text()
}

const at = (reference: string): string => `docker://${served.authority}/${reference}`

async function put(content: Content, location: string): Promise<void> {
  await copyContent(content, await openDestination(location, { registries }))
}

async function putStatements(image: Image, locationOf: (digest: string) => string): Promise<void> {
  for (const statement of STATEMENTS) {
    const content = referrerContent(statement, image.descriptor)
    await put(content, locationOf(content.manifest.descriptor.digest))
  }
}

/** A document in a layer. */
interface Document {
  readonly mediaType: string
  readonly annotations?: Record<string, string>
  readonly text: string
}

/** An artifact of no type whose layers are documents, as BuildKit and cosign 2 write them. */
function artifactOfLayers(layers: readonly Document[]): Content {
  const blob = ({ text, ...rest }: Document): Content['blobs'][number] => {
    const bytes = Buffer.from(text)
    return { descriptor: { ...rest, digest: digestOf(bytes), size: bytes.length }, open: openBytes(bytes) }
  }
  const config = blob({ mediaType: OCI.config, text: '{}' })
  const blobs = layers.map(blob)
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: OCI.manifest,
    config: config.descriptor,
    layers: blobs.map(({ descriptor }) => descriptor),
  }
  const bytes = Buffer.from(JSON.stringify(manifest))
  const descriptor = { mediaType: OCI.manifest, digest: digestOf(bytes), size: bytes.length }
  return { manifest: { descriptor, bytes }, blobs: [config, ...blobs], children: [] }
}

test('inspect says nothing of attestations where there are none', async () => {
  await copyImage(sampleImage(), await openDestination(at('app:v1'), { registries }))
  const text = await inspect(at('app:v1'))
  expect(text).toContain('layers, lowest first')
  expect(text).not.toContain('attestations')
})

test('inspect lists what refers to an image in a registry', async () => {
  const image = sampleImage()
  await copyImage(image, await openDestination(at('app:v1'), { registries }))
  await putStatements(image, (digest) => at(`app@${digest}`))
  const text = await inspect(at('app:v1'))
  const [, listed = ''] = text.split('attestations, not verified\n')
  expect(listed).toContain('components (SPDX)\n')
  expect(listed).toContain('provenance (SLSA), signed\n')
  const { attestations } = JSON.parse(await inspect(at('app:v1'), '--json')) as { attestations: readonly unknown[] }
  expect(attestations).toHaveLength(2)
  expect(attestations).toContainEqual(
    expect.objectContaining({ subject: image.descriptor.digest, type: 'application/spdx+json' }),
  )
})

test('inspect finds what cosign keeps under tags of its own', async () => {
  const image = sampleImage()
  await copyImage(image, await openDestination(at('app:v1'), { registries }))
  const stem = image.descriptor.digest.replace(':', '-')
  await put(
    artifactOfLayers([{ mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json', text: '{"critical":{}}' }]),
    at(`app:${stem}.sig`),
  )
  const predicateType = 'https://slsa.dev/provenance/v0.2'
  await put(
    artifactOfLayers([
      { mediaType: 'application/vnd.dsse.envelope.v1+json', annotations: { predicateType }, text: '{}' },
    ]),
    at(`app:${stem}.att`),
  )
  const text = await inspect(at('app:v1'))
  expect(text).toContain('signature (Sigstore)\n')
  expect(text).toContain('provenance (SLSA), signed\n')
})

test('inspect finds attestations within an index, as BuildKit writes them, under their image', async () => {
  const image = sampleImage()
  const statement = artifactOfLayers([
    { mediaType: 'application/vnd.in-toto+json', annotations: SLSA, text: '{"a":1}' },
    {
      mediaType: 'application/vnd.in-toto+json',
      annotations: { 'in-toto.io/predicate-type': 'https://spdx.dev/Document' },
      text: '{"b":1}',
    },
  ])
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': image.descriptor.digest,
  }
  const manifests = [
    { ...image.descriptor, platform: { os: 'linux', architecture: 'amd64' } },
    { ...statement.manifest.descriptor, platform: { os: 'unknown', architecture: 'unknown' }, annotations },
  ]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI.index, manifests }))
  const descriptor = { mediaType: OCI.index, digest: digestOf(bytes), size: bytes.length }
  await put({ manifest: { descriptor, bytes }, blobs: [], children: [contentOf(image), statement] }, at('app:v1'))
  const text = await inspect(at('app:v1'))
  expect(text.startsWith(`index ${descriptor.digest}\n`)).toBe(true)
  expect(text).toMatch(/attestations, not verified\n.* {2}provenance \(SLSA\)\n.* {2}components \(SPDX\)\n$/)
})

test('inspect lists what refers to an image in the same OCI layout', async () => {
  const image = sampleImage()
  await copyImage(image, await openDestination(`oci:${folder}/image:v1`))
  // Other tools add such entries without a name, several at once.
  await putStatements(image, (digest) => `oci:${folder}/image:${digest.slice(-8)}`)
  const text = await inspect(`oci:${folder}/image:v1`)
  expect(text).toContain('components (SPDX)\n')
  expect(text).toContain('provenance (SLSA), signed\n')
})

test('inspect tells of an image whose referrers cannot be listed, with a warning', async () => {
  const image = sampleImage()
  await copyImage(image, await openDestination(`oci:${folder}/image:v1`))
  await putStatements(image, (digest) => `oci:${folder}/image:${digest.slice(-8)}`)
  const { digest } = referrerContent(STATEMENTS[0] ?? expect.unreachable(), image.descriptor).manifest.descriptor
  await rm(join(folder, 'image', 'blobs', 'sha256', digest.slice('sha256:'.length)))
  const io = recordIo({ cwd: folder, env: { LAYERWRIGHT_CACHE: join(folder, 'store') } })
  expect(await runCommandLine(['inspect', `oci:${folder}/image:v1`], io)).toBe(0)
  expect(io.stdout.text()).toContain(`digest      ${image.descriptor.digest}`)
  expect(io.stderr.text()).toContain('What is kept beside the image cannot be listed')
})

test('inspect lets nothing in an image steer the terminal', async () => {
  await copyImage(sampleImage({ label: 'a\u001b[2Jb\nc' }), await openDestination(`oci:${folder}/image:v1`))
  expect(await inspect(`oci:${folder}/image:v1`)).toContain('  sample  a [2Jb c\n')
})
