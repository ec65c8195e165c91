import type { Digest } from 'oci-spec-types'
import { Registries } from '../../registry/registries.ts'
import { formatFamiliar, type Reference } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'
import type { VersionShare } from '../deploy/split.ts'
import type { Io } from './command.ts'

/**
 * Each version's image by its digest, as the registry names it now; by its tag, with a warning, where this machine cannot ask.
 *
 * @param repository  an image without tag and digest
 * @throws BuildError IMAGE_NOT_FOUND when the registry has no such tag
 */
export async function pinVersions(
  repository: Reference,
  versions: readonly VersionShare[],
  io: Io,
  insecure: boolean,
): Promise<readonly (VersionShare & { readonly image: string })[]> {
  const { env, report, signal } = io
  const client = new Registries({ env, report, signal, insecure }).client(repository, { actions: 'pull' })
  return Promise.all(
    versions.map(async (version) => {
      const image = formatFamiliar({ ...repository, tag: version.tag })
      const digest = version.digest ?? (await askDigest(image, version.tag))
      if (digest === undefined) return { ...version, image }
      return { ...version, image: formatFamiliar({ ...repository, digest }) }
    }),
  )

  async function askDigest(image: string, tag: string): Promise<Digest | undefined> {
    const found = await client.headManifest(tag).catch((error: unknown) => {
      signal.throwIfAborted()
      if (!(error instanceof BuildError)) throw error
      // The cluster may well reach what this machine does not.
      const text = `\`${image}\` stays a tag, which may move, since its digest was not found out: ${error.message}`
      report({ type: 'note', level: 'warning', text, code: 'IMAGE_WITHOUT_DIGEST' })
      return { digest: undefined }
    })
    if (found !== undefined) return found.digest
    throw new BuildError('IMAGE_NOT_FOUND', `The registry has no such version: \`${image}\``, {
      hint: `Push it first, or see \`layerwright tags ${formatFamiliar(repository)}\`.`,
    })
  }
}
