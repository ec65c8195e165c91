import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { statementsAbout, type BuiltImage } from '../../src/attest/attest.ts'
import { listComponents } from '../../src/attest/components.ts'
import { makeCycloneDx } from '../../src/attest/cyclonedx.ts'
import { preAuthenticationEncoding, readAttestKey } from '../../src/attest/dsse.ts'
import { referrerContent } from '../../src/attest/referrer.ts'
import { makeSpdx } from '../../src/attest/spdx.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { PlatformLock } from '../../src/lock/lock.ts'

const sha = (text: string): string => digestOf(text).slice('sha256:'.length)

const LOCK = {
  platform: { os: 'linux', architecture: 'amd64' },
  base: {
    kind: 'image',
    location: 'docker://registry.example:5000/nvidia/cuda:12.8.1-base-ubuntu22.04',
    manifest: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf('base'), size: 4 },
    config: { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } },
    layers: [],
    operatingSystem: 'Ubuntu 22.04',
  },
  interpreter: {
    kind: 'archive',
    version: '3.12.4',
    executable: '/opt/python/bin/python3.12',
    archive: {
      url: 'https://me:secret@mirror.example/cpython.tar.gz',
      sha256: sha('python'),
      sizeBytes: 1,
      prefix: '/opt',
    },
  },
  libc: { kind: 'glibc', major: 2, minor: 35 },
  wheels: [
    {
      name: 'torch',
      version: '2.8.0+cu128',
      filename: 'torch-2.8.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl',
      url: 'https://user:token@index.example/torch.whl',
      sha256: sha('torch'),
      sizeBytes: 5,
      requested: true,
      dependencies: ['numpy'],
    },
    {
      name: 'numpy',
      version: '2.1.0',
      filename: 'numpy-2.1.0-cp312-cp312-manylinux_2_17_x86_64.whl',
      url: 'file:///home/me/numpy.whl',
      sha256: sha('numpy'),
      sizeBytes: 5,
      requested: false,
      dependencies: [],
    },
  ],
  launcher: [],
  systemPackages: {
    suite: 'jammy',
    architecture: 'amd64',
    releases: [],
    packages: [
      {
        package: 'libstdc++6',
        version: '12.3.0-1ubuntu1~22.04',
        architecture: 'amd64',
        installedBytes: 1,
        root: 'libstdc++6',
        url: 'http://archive.example/libstdc.deb',
        sha256: sha('deb'),
        sizeBytes: 3,
      },
    ],
    upgraded: [],
    scriptsNotRun: [],
  },
  choices: [],
} as const satisfies PlatformLock

const IMAGE: BuiltImage = {
  name: 'registry.example/me/model',
  descriptor: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf('image'), size: 5 },
  lock: LOCK,
  created: '1970-01-01T00:00:00Z',
  labels: {
    'run.cog.config': '{"build":{"gpu":true}}',
    'org.opencontainers.image.revision': '0123456789abcdef0123456789abcdef01234567',
  },
  toolVersion: '0.1.0',
}

test('listComponents() names every wheel, package, interpreter and base by purl and hash, without credentials', () => {
  const components = listComponents(LOCK)
  expect(components.map(({ purl, sha256 }) => [purl, sha256])).toEqual([
    ['pkg:deb/ubuntu/libstdc%2B%2B6@12.3.0-1ubuntu1~22.04?arch=amd64&distro=jammy', sha('deb')],
    [`pkg:generic/cpython@3.12.4?checksum=sha256:${sha('python')}`, sha('python')],
    [
      `pkg:oci/cuda@${digestOf('base')}?repository_url=registry.example:5000%2Fnvidia%2Fcuda&tag=12.8.1-base-ubuntu22.04`,
      digestOf('base').slice(7),
    ],
    ['pkg:pypi/numpy@2.1.0', sha('numpy')],
    ['pkg:pypi/torch@2.8.0%2Bcu128', sha('torch')],
  ])
  const text = JSON.stringify(components)
  for (const secret of ['secret', 'token', '/home/me']) expect(text).not.toContain(secret)
})

test('makeSpdx() and makeCycloneDx() say what requires what, and are the same for the same image', () => {
  const image = { name: 'model', platform: 'linux/amd64', created: IMAGE.created, toolVersion: '0.1.0' }
  const components = listComponents(LOCK)
  const spdx = makeSpdx(image, components) as {
    readonly packages: readonly { readonly SPDXID: string; readonly name: string }[]
    readonly relationships: readonly Record<string, string>[]
  }
  const idOf = (name: string): string | undefined => spdx.packages.find((entry) => entry.name === name)?.SPDXID
  expect(spdx.relationships).toContainEqual({
    spdxElementId: idOf('torch'),
    relationshipType: 'DEPENDS_ON',
    relatedSpdxElement: idOf('numpy'),
  })
  expect(spdx.relationships).toContainEqual({
    spdxElementId: 'SPDXRef-Image',
    relationshipType: 'DESCENDANT_OF',
    relatedSpdxElement: idOf('cuda'),
  })
  const cyclone = makeCycloneDx(image, components)
  expect(cyclone['dependencies']).toContainEqual({
    ref: 'pkg:pypi/torch@2.8.0%2Bcu128',
    dependsOn: ['pkg:pypi/numpy@2.1.0'],
  })
  expect(makeSpdx(image, listComponents(LOCK))).toEqual(spdx)
  expect(makeCycloneDx(image, listComponents(LOCK))).toEqual(cyclone)
})

describe('statementsAbout()', () => {
  test('gives provenance about the manifest, with every component and the commit', () => {
    const statement = statementsAbout(IMAGE)[1]
    expect(statement?.mediaType).toBe('application/vnd.in-toto+json')
    const document = JSON.parse(statement?.bytes.toString() ?? '') as Record<string, unknown>
    expect(document).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256: digestOf('image').slice(7) } }],
      predicateType: 'https://slsa.dev/provenance/v1',
      predicate: {
        buildDefinition: {
          externalParameters: { configuration: { build: { gpu: true } }, platform: 'linux/amd64' },
          resolvedDependencies: expect.arrayContaining([
            { name: 'project', digest: { gitCommit: '0123456789abcdef0123456789abcdef01234567' } },
            { uri: 'pkg:pypi/numpy@2.1.0', digest: { sha256: sha('numpy') } },
          ]) as unknown,
        },
      },
    })
  })

  test.each([
    ['ECDSA P-256', generateKeyPairSync('ec', { namedCurve: 'prime256v1' })],
    ['Ed25519', generateKeyPairSync('ed25519')],
  ])('signs it with %s so that others can verify it', (_, { privateKey }) => {
    const key = readAttestKey(Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })), 'key.pem')
    const statement = statementsAbout(IMAGE, key)[1]
    const { payload, payloadType, signatures } = JSON.parse(statement?.bytes.toString() ?? '') as {
      readonly payload: string
      readonly payloadType: string
      readonly signatures: readonly { readonly sig: string }[]
    }
    const message = preAuthenticationEncoding(Buffer.from(payload, 'base64'), payloadType)
    const signature = Buffer.from(signatures[0]?.sig ?? '', 'base64')
    const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
    expect(verify(algorithm, message, createPublicKey(privateKey), signature)).toBe(true)
    expect(verify(algorithm, Buffer.concat([message, Buffer.from(' ')]), createPublicKey(privateKey), signature)).toBe(
      false,
    )
  })
})

test('preAuthenticationEncoding() is the protocol’s own example', () => {
  const encoded = preAuthenticationEncoding(Buffer.from('hello world'), 'http://example.com/HelloWorld')
  expect(encoded.toString()).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world')
})

test.each([
  ['no key', 'nonsense'],
  [
    'an RSA key',
    generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  ],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey.export({ type: 'pkcs8', format: 'pem' })],
])('readAttestKey() refuses %s, and does not show it', (_, pem) => {
  expect(() => readAttestKey(Buffer.from(pem), 'key.pem')).toThrow(
    /Not a private ECDSA P-256 or Ed25519 key: `key.pem`$/,
  )
})

test('referrerContent() names its subject, and nothing of the document is lost', async () => {
  const statement = { mediaType: 'application/spdx+json', bytes: Buffer.from('{"a":1}') }
  const { manifest, blobs } = referrerContent(statement, IMAGE.descriptor)
  const document = JSON.parse(manifest.bytes.toString()) as Record<string, unknown>
  expect(document).toMatchObject({
    artifactType: 'application/spdx+json',
    subject: { digest: digestOf('image'), size: 5 },
  })
  expect(digestOf(manifest.bytes)).toBe(manifest.descriptor.digest)
  for (const { descriptor, open } of blobs) {
    const chunks: Uint8Array[] = []
    for await (const chunk of open()) chunks.push(chunk)
    expect(digestOf(Buffer.concat(chunks))).toBe(descriptor.digest)
  }
})
