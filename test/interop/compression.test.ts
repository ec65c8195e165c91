import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageConfig, Index, Manifest } from 'oci-spec-types'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { mustRun } from '../support/command.ts'

const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const
const program = join(packageRoot(), 'bin', 'layerwright.mjs')

let folder = ''

beforeAll(async () => {
  // podman makes a name of the path, and names are lower case; and its paths are short.
  folder = join(tmpdir(), `lw-${randomBytes(4).toString('hex')}`)
  await mkdir(folder)
  const outputs = COMPRESSIONS.flatMap((name) => ['-o', `oci:${join(folder, name)},compression=${name}`])
  // A store of its own: what another version left in the user's is no part of this.
  const env = { LAYERWRIGHT_CACHE: join(folder, 'cache') }
  await mustRun(process.execPath, [program, 'build', join(packageRoot(), 'examples/hello'), ...outputs], { env })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function blob(layout: string, digest: string): Promise<string> {
  return readFile(join(folder, layout, 'blobs', digest.replace(':', '/')), 'utf8')
}

async function readImage(layout: string): Promise<{ manifest: Manifest; config: ImageConfig }> {
  const index = JSON.parse(await readFile(join(folder, layout, 'index.json'), 'utf8')) as Index
  const manifest = JSON.parse(await blob(layout, index.manifests[0]?.digest ?? '')) as Manifest
  return { manifest, config: JSON.parse(await blob(layout, manifest.config.digest)) as ImageConfig }
}

test('every compression has the same diffIds', async () => {
  const images = await Promise.all(COMPRESSIONS.map(readImage))
  const [first, ...others] = images.map(({ config }) => config.rootfs.diff_ids)
  for (const other of others) expect(other).toEqual(first)
})

test("zstd's own program reads every zstd layer, and finds the tar of its diffId", async () => {
  const { manifest, config } = await readImage('zstd')
  for (const [n, { digest, mediaType }] of manifest.layers.entries()) {
    expect(mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd')
    const path = join(folder, 'zstd', 'blobs', digest.replace(':', '/'))
    const { stdout } = await mustRun('sh', ['-c', 'zstd -dcq "$1" | sha256sum', 'sh', path])
    expect(`sha256:${stdout.slice(0, 64)}`).toBe(config.rootfs.diff_ids[n])
  }
})

test.each(COMPRESSIONS)('skopeo and podman take the image with %s layers, and it predicts', async (name) => {
  const image = `oci:${join(folder, name)}`
  await mustRun('skopeo', ['copy', '-q', image, `oci:${join(folder, `copy-${name}`)}`])
  const storage = ['--root', join(folder, 'podman'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs']
  const { stdout: id } = await mustRun('podman', [...storage, 'pull', '-q', image])
  expect(id).toMatch(/^[0-9a-f]{64}/)
  await mustRun('podman', [...storage, 'rmi', '-f', id.trim()])
  const { stdout } = await mustRun(process.execPath, [program, 'predict', image, '-i', `text=${name}`])
  expect(stdout).toContain(`hello ${name}`)
})
