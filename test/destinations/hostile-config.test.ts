import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { canonicalJson } from '../../src/core/json.ts'
import { openImage } from '../../src/destinations/index.ts'

const root = mkdtempSync(join(tmpdir(), 'layerwright-config-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** An OCI layout whose image has no layers and a member of so many arrays in its configuration. */
function layoutWith(levels: number): string {
  const folder = join(root, String(levels))
  const blobs = join(folder, 'blobs/sha256')
  mkdirSync(blobs, { recursive: true })
  const save = (text: string, mediaType: string): object => {
    const digest = digestOf(text)
    writeFileSync(join(blobs, digest.slice('sha256:'.length)), text)
    return { mediaType, digest, size: text.length }
  }
  const nested = '['.repeat(levels) + ']'.repeat(levels)
  const config = save(
    `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"x":${nested}}`,
    'application/vnd.oci.image.config.v1+json',
  )
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = save(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [] }), mediaType)
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  return `oci:${folder}`
}

test('openImage() keeps members of a configuration that it does not know', async () => {
  const { config } = await openImage(layoutWith(50))
  expect(canonicalJson(config)).toContain('"x":[[[')
})

test('openImage() refuses a configuration so deep that nothing could write it again', async () => {
  await expect(openImage(layoutWith(100_000))).rejects.toMatchObject({
    code: 'IMAGE_INVALID',
    message: expect.stringMatching(/^The configuration is nested more than 100 levels deep: /),
  })
})
