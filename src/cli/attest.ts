import type { KeyObject } from 'node:crypto'
import { statementsAbout, type BuiltImage } from '../attest/attest.ts'
import { readAttestKey } from '../attest/dsse.ts'
import { referrerContent } from '../attest/referrer.ts'
import type { BuildResult } from '../build.ts'
import { BuildError } from '../core/errors.ts'
import { nested, runTask } from '../core/progress.ts'
import { programVersion } from '../core/version.ts'
import { copyContent, type Location } from '../destinations/index.ts'
import { isImageIndex } from '../image/image.ts'
import type { Io } from './command.ts'
import { readNamedFile } from './read-named-file.ts'
import type { World } from './world.ts'

/** The options about what is said of images. */
export interface AttestOptions {
  readonly attest?: boolean
  readonly attestKey?: string
}

/** @throws BuildError USAGE when no destination can hold statements about the image */
export function assertAttestable(locations: readonly Location[]): void {
  if (locations.some(({ kind }) => kind === 'registry')) return
  throw new BuildError('USAGE', 'Statements about an image are kept beside it in a registry, and none is named', {
    hint: 'Add --push, or print the list of components with `layerwright sbom`.',
  })
}

/**
 * The key that signs. Read before anything is built: afterwards the image would be pushed and its statements missing.
 *
 * @throws BuildError FILE_UNREADABLE, CREDENTIALS_INVALID
 */
export async function loadAttestKey({ attestKey }: AttestOptions, io: Io): Promise<KeyObject | undefined> {
  return attestKey === undefined ? undefined : readAttestKey(await readNamedFile(attestKey, io.cwd), attestKey)
}

/** Puts the component list and the provenance of every image beside it, in each registry that it was pushed to. */
export async function attest(
  result: BuildResult,
  locations: readonly Location[],
  key: KeyObject | undefined,
  world: World,
  io: Io,
): Promise<void> {
  const images = builtImages(result)
  for (const location of locations) {
    if (location.kind !== 'registry') continue
    const { registry, repository } = location.reference
    await runTask(io.report, `statements about ${repository}`, async ({ id }) => {
      for (const built of images) {
        for (const statement of statementsAbout(built, key)) {
          const content = referrerContent(statement, built.descriptor)
          const { digest } = content.manifest.descriptor
          const place: Location = { kind: 'registry', reference: { registry, repository, tag: undefined, digest } }
          await copyContent(content, await world.open(place), { report: nested(io.report, id), signal: io.signal })
        }
      }
    })
  }
}

function builtImages({ image: root, planned }: BuildResult): readonly BuiltImage[] {
  const images = isImageIndex(root) ? root.images.map(({ image }) => image) : [root]
  return images.flatMap((image, index) => {
    const [lock, plan] = [planned.lock.platforms[index], planned.plans[index]]
    if (lock === undefined || plan === undefined) return []
    const labels = plan.runtime.Labels ?? {}
    const { imageName: name } = planned
    return { name, descriptor: image.descriptor, lock, created: plan.created, labels, toolVersion: programVersion() }
  })
}
