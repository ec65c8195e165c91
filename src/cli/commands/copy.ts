import { BuildError } from '../../core/errors.ts'
import type { CopyResult } from '../../destinations/index.ts'
import type { Command } from '../command.ts'
import { formatBytes } from '../progress/format.ts'

/** `layerwright copy`: moves an image from anywhere to anywhere. Only what the destination lacks is sent. */
export const command: Command = {
  define(program) {
    program
      .argument(
        '<source>',
        'oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], a reference, or a local image',
      )
      .argument('<destination>', 'the same kinds')
      .option('--all', 'copy an index with all its platforms')
      .option('--platform <os/arch>', 'copy this platform of an index; this machine’s unless given')
      .option('--format <format>', 'write `oci` or `docker` (schema 2) manifests; as they are unless given')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print what was done as JSON')
  },
  async run([source = '', destination = ''], options, io) {
    const { insecure, all, platform, format, json } = options as CopyOptions
    if (all === true && platform !== undefined)
      throw new BuildError('USAGE', 'Give either --all or --platform', { hint: '--all copies every platform.' })
    if (format !== undefined && format !== 'oci' && format !== 'docker')
      throw new BuildError('USAGE', `Not a format: \`${format}\``, { hint: 'Known are oci and docker.' })
    const { openCopyWorld } = await import('../copy-world.ts')
    const result = await openCopyWorld(io, insecure === true).copy(source, destination, { all, platform, format })
    io.stdout.write(json === true ? `${JSON.stringify(result)}\n` : `${result.digest}\n`)
    io.report({ type: 'note', level: 'info', text: summary(result) })
  },
}

interface CopyOptions {
  readonly insecure?: boolean
  readonly all?: boolean
  readonly platform?: string
  readonly format?: string
  readonly json?: boolean
}

function summary({ outcome, blobs, uploadedBytes }: CopyResult): string {
  if (outcome === 'exists') return 'Nothing to do: the destination has this very image'
  const parts = [
    blobs.uploaded > 0 ? `${blobs.uploaded} blobs sent (${formatBytes(uploadedBytes)})` : undefined,
    blobs.mounted > 0 ? `${blobs.mounted} mounted` : undefined,
    blobs.exists > 0 ? `${blobs.exists} were there` : undefined,
  ]
  return `Copied: ${parts.filter((part) => part !== undefined).join(', ') || 'the name only'}`
}
