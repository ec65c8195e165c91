import type { Attestation } from '../../attest/list-attestations.ts'
import { BuildError } from '../../core/errors.ts'
import type { Source } from '../../destinations/index.ts'
import { isImageIndex, type Image, type ImageIndex } from '../../image/image.ts'
import { describeMembers, membersOf } from '../../run/predict/members.ts'
import type { Command, Io } from '../command.ts'
import { formatBytes, oneLine, truncate } from '../progress/format.ts'

/** Columns for what an image says of itself. */
const WIDTH = 100

/**
 * `layerwright inspect`: what an image is made of, and what is kept about it beside it, wherever it lies. Neither layers nor
 * attestations are fetched.
 */
export const command: Command = {
  define(program) {
    program
      .argument('[image]', 'image by location or local name; the project in this folder unless given')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print manifest, configuration and attestations as JSON')
  },
  async run([name], options, io) {
    const { explaining, openWorld, findSource } = await import('../world.ts')
    const { readImageOrIndex } = await import('../../destinations/index.ts')
    const world = await openWorld(io, { insecure: options['insecure'] === true })
    const source = await findSource(name, world, io)
    const found = await explaining(name, world, () => readImageOrIndex(source))
    const attestations = await attestationsOf(source, found, io)
    io.stdout.write(options['json'] === true ? toJson(found, attestations) : await renderAll(found, attestations))
  },
}

/** Registries answer oddly where nobody asks for referrers: the image itself is told all the same. */
async function attestationsOf(source: Source, found: Image | ImageIndex, io: Io): Promise<readonly Attestation[]> {
  const { listAttestations } = await import('../../attest/list-attestations.ts')
  try {
    return await listAttestations(source, found)
  } catch (error) {
    io.signal.throwIfAborted()
    if (!(error instanceof BuildError)) throw error
    const text = `What is kept beside the image cannot be listed: ${error.message}`
    io.report({ type: 'note', level: 'warning', text, code: 'ATTESTATIONS_UNREADABLE' })
    return []
  }
}

function toJson(found: Image | ImageIndex, attestations: readonly Attestation[]): string {
  const document = ({ descriptor, manifest, config }: Image): object => ({ descriptor, manifest, config })
  const value = isImageIndex(found)
    ? {
        descriptor: found.descriptor,
        index: found.index,
        images: found.images.map(({ image }) => document(image)),
        attestations,
      }
    : { ...document(found), attestations }
  return `${JSON.stringify(value, undefined, 2)}\n`
}

async function renderAll(found: Image | ImageIndex, attestations: readonly Attestation[]): Promise<string> {
  const { describeAttestation } = await import('../../attest/list-attestations.ts')
  const about = ({ descriptor }: Image | ImageIndex): string => {
    const lines = attestations
      .filter(({ subject }) => subject === descriptor.digest)
      .map(
        (one) =>
          `  ${shortDigest(one)}  ${formatBytes(one.sizeBytes).padStart(8)}  ${said(describeAttestation(one))}\n`,
      )
    return lines.length === 0 ? '' : `\nattestations, not verified\n${lines.join('')}`
  }
  const pages = isImageIndex(found) ? found.images.map(({ image }) => image) : [found]
  const texts = pages.map((image) => `${renderImage(image)}${about(image)}`)
  const root = isImageIndex(found) ? [`index ${found.descriptor.digest}\n${about(found)}`] : []
  return [...root, ...texts].join('\n')
}

/** One image as a page for people. */
function renderImage({ descriptor, manifest, config, layers }: Image): string {
  const runtime = config.config ?? {}
  const members = membersOf(runtime)
  const total = manifest.layers.reduce((sum, { size }) => sum + size, 0)
  const lines = [
    `digest      ${descriptor.digest}`,
    `platform    ${oneLine(`${config.os}/${config.architecture}`)}`,
    `format      ${descriptor.mediaType}`,
    `created     ${oneLine(config.created ?? 'unknown')}`,
    `entrypoint  ${oneLine((runtime.Entrypoint ?? []).join(' '))}`,
    `user        ${oneLine(runtime.User || 'root')}`,
    `size        ${formatBytes(total)} in ${layers.length} layers`,
    ...(members === undefined ? [] : [`serves      ${said(describeMembers(members))}`]),
    '',
    'layers, lowest first',
  ]
  for (const { descriptor: layer, createdBy } of layers) {
    lines.push(`  ${shortDigest(layer)}  ${formatBytes(layer.size).padStart(8)}  ${said(createdBy)}`)
  }
  const labels = Object.entries(runtime.Labels ?? {})
  if (labels.length > 0) lines.push('', 'labels')
  for (const [key, value] of labels) lines.push(`  ${said(key)}  ${said(value)}`)
  return `${lines.join('\n')}\n`
}

function shortDigest({ digest }: { readonly digest: string }): string {
  return digest.slice(0, 19)
}

/** What others wrote, on one line: it may hold what steers a terminal. */
function said(text: string): string {
  return truncate(oneLine(text), WIDTH)
}
