import type { Image } from '../../image/image.ts'
import { isImageIndex } from '../../image/image.ts'
import type { Command } from '../command.ts'
import { formatBytes } from '../progress/format.ts'

/** `layerwright inspect`: what an image is made of, wherever it lies. Layers are not fetched. */
export const command: Command = {
  define(program) {
    program
      .argument('[image]', 'image by location or local name; the project in this folder unless given')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print manifest and configuration as JSON')
  },
  async run([name], options, io) {
    const { openWorld, findImage } = await import('../world.ts')
    const world = await openWorld(io, { insecure: options['insecure'] === true })
    const found = await findImage(name, world, io)
    const images = isImageIndex(found) ? found.images.map(({ image }) => image) : [found]
    if (options['json'] === true) {
      const documents = images.map(({ descriptor, manifest, config }) => ({ descriptor, manifest, config }))
      const value = isImageIndex(found)
        ? { descriptor: found.descriptor, index: found.index, images: documents }
        : documents[0]
      io.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`)
      return
    }
    if (isImageIndex(found)) io.stdout.write(`index ${found.descriptor.digest}\n\n`)
    io.stdout.write(images.map(renderImage).join('\n'))
  },
}

/** One image as a page for people. */
function renderImage({ descriptor, manifest, config, layers }: Image): string {
  const runtime = config.config ?? {}
  const total = manifest.layers.reduce((sum, { size }) => sum + size, 0)
  const lines = [
    `digest      ${descriptor.digest}`,
    `platform    ${config.os}/${config.architecture}`,
    `format      ${descriptor.mediaType}`,
    `created     ${config.created ?? 'unknown'}`,
    `entrypoint  ${(runtime.Entrypoint ?? []).join(' ')}`,
    `user        ${runtime.User || 'root'}`,
    `size        ${formatBytes(total)} in ${layers.length} layers`,
    '',
    'layers, lowest first',
  ]
  for (const layer of layers) {
    lines.push(
      `  ${layer.descriptor.digest.slice(0, 19)}  ${formatBytes(layer.descriptor.size).padStart(8)}  ${firstLine(layer.createdBy)}`,
    )
  }
  const labels = Object.entries(runtime.Labels ?? {})
  if (labels.length > 0) lines.push('', 'labels')
  for (const [key, value] of labels) lines.push(`  ${key}  ${firstLine(value)}`)
  return `${lines.join('\n')}\n`
}

function firstLine(text: string): string {
  const line = text.split('\n')[0] ?? ''
  return line.length > 100 ? `${line.slice(0, 99)}…` : line
}
