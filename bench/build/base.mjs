// Makes the base that every builder of the bench stands on: Debian with Python and pip, and nothing else.
// node bench/build/base.mjs DIST FROM TO   FROM: an image that layerwright built, TO: oci:FOLDER:TAG
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [dist, from, to] = process.argv.slice(2)
const load = (file) => import(pathToFileURL(path.resolve(dist, file)).href)
const { copyImage, openDestination, openImage } = await load('src/destinations/index.js')
const { makeImage } = await load('src/image/make-image.js')
const built = await openImage(from)
const image = makeImage({
  platform: { os: 'linux', architecture: 'amd64' },
  layers: built.layers.filter(({ createdBy }) => /^(system packages|registration)/.test(createdBy)),
  runtime: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['/bin/bash'] },
  baseLayerCount: 0,
  annotations: {},
  created: '1970-01-01T00:00:00Z',
  format: 'docker',
})
await copyImage(image, await openDestination(to))
