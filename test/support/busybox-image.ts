import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestHex, OCI, type Descriptor, type ImageRuntimeConfig } from 'oci-spec-types'
import { collect } from '../../src/core/bytes.ts'
import type { Image } from '../../src/image/image.ts'
import { makeImage } from '../../src/image/make-image.ts'
import { dir, file, layerOf, symlink, tar, type TestEntry } from '../run/tar-builder.ts'

const APPLETS =
  'sh ls id cat env mount grep sleep touch rm mkdir ln chmod chown mkfifo mv stat readlink kill test hostname wc nc head echo seq'

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n'
const GROUP = 'root:x:0:\nbob:x:1000:\nvideo:x:44:bob\n'

/** An image of two layers whose programs are one static busybox. */
export function busyboxImage(
  busybox: string,
  runtime: ImageRuntimeConfig = {},
  more: readonly TestEntry[] = [],
): Image {
  const root = (entry: TestEntry): TestEntry => ({ ...entry, uid: 0, gid: 0 })
  const base = tar(
    ...[dir('bin'), dir('etc'), dir('root', 0o700), dir('tmp', 0o1777), dir('home'), dir('home/bob')].map(root),
    root(file('bin/busybox', readFileSync(busybox), 0o755)),
    ...APPLETS.split(' ').map((name) => root(symlink('busybox', `bin/${name}`))),
    root(file('etc/passwd', PASSWD)),
    root(file('etc/group', GROUP)),
  )
  const top = tar(...[dir('src'), file('src/hello', 'from the image\n'), ...more].map(root))
  return makeImage({
    platform: { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch },
    layers: [layerOf(base), layerOf(top)],
    runtime: { Cmd: ['/bin/sh'], WorkingDir: '/src', Env: ['PATH=/bin', 'FROM_IMAGE=1'], ...runtime },
    baseLayerCount: 0,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format: 'oci',
  })
}

/** Writes an image as an OCI layout that everybody may read. */
export async function writeLayout(folder: string, image: Image): Promise<void> {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true, mode: 0o755 })
  const put = (descriptor: Descriptor, bytes: Uint8Array): void =>
    writeFileSync(join(folder, 'blobs/sha256', digestHex(descriptor.digest)), bytes, { mode: 0o644 })
  for (const layer of image.layers) put(layer.descriptor, await collect(layer.open(), 2 ** 26))
  put(image.manifest.config, image.configBytes)
  put(image.descriptor, image.manifestBytes)
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  const index = { schemaVersion: 2, mediaType: OCI.index, manifests: [{ ...image.descriptor, annotations }] }
  writeFileSync(join(folder, 'index.json'), JSON.stringify(index), { mode: 0o644 })
  writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }), { mode: 0o644 })
}
