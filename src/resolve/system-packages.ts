import { BuildError } from '../core/errors.ts'
import type { DebianLock } from '../debian/lock.ts'
import { resolveDebian } from '../debian/resolve.ts'
import { debianSources, ubuntuSources, type ArchiveSource } from '../debian/source.ts'
import { openAptSources } from './apt-sources.ts'
import type { BaseRequest } from './base-draft.ts'
import type { BaseFacts } from './base-facts.ts'
import type { ResolveContext } from './context.ts'

/**
 * Resolves packages above an existing image, against what its own database says it has.
 *
 * @returns undefined when nothing is asked for
 * @throws BuildError NOT_SUPPORTED for an image without dpkg
 */
export async function systemPackagesFor(
  wanted: readonly string[],
  facts: BaseFacts,
  request: BaseRequest,
  context: ResolveContext,
): Promise<DebianLock | undefined> {
  if (wanted.length === 0) return undefined
  const { platform, config } = request
  if (facts.packages === undefined || facts.osCodename === '') {
    const system = `${facts.osId} ${facts.osVersion}`.trim() || 'unknown'
    throw new BuildError('NOT_SUPPORTED', `System packages cannot be added to this base (${system}): it has no dpkg`, {
      hint: 'Use a base made from Debian or Ubuntu, or one that has the packages already.',
      data: { packages: wanted },
    })
  }
  const sources = distributionSources(facts, request)
  const lock = await resolveDebian(
    {
      suite: facts.osCodename,
      architecture: platform.architecture,
      packages: [...wanted],
      installed: facts.packages.map(({ record }) => record),
      sources: context.archives?.(sources) ?? sources,
      extraSources: await openAptSources(config.build.aptSources, context),
    },
    { ...context, cache: context.cache('debian'), now: () => new Date(context.now()) },
  )
  const replaced = new Set(lock.upgraded.map(({ package: name }) => name))
  return { ...lock, base: facts.system.system(replaced) }
}

// A derivative or a renewed key signs with what only the base's own keyring has.
function distributionSources(facts: BaseFacts, { platform, config }: BaseRequest): ArchiveSource[] {
  const { mirror, snapshot } = config.build.debian
  const { osId, osCodename } = facts
  const sources =
    osId === 'ubuntu'
      ? ubuntuSources(osCodename, platform.architecture, mirror)
      : debianSources(osCodename, { archive: mirror, snapshot })
  return sources.map((source) => ({ ...source, furtherKeys: facts.system.keyring() }))
}
