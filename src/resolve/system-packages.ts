import { BuildError } from '../core/errors.ts'
import { parseAptLists, type ListedArchive } from '../debian/apt-lists.ts'
import type { DebianLock } from '../debian/lock.ts'
import { resolveDebian } from '../debian/resolve.ts'
import { debianSources, DISTRIBUTION_HOSTS, ubuntuSources, type ArchiveSource } from '../debian/source.ts'
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
      baseSources: vendorSources(facts, platform.architecture, sources),
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

/** What the base's apt asks beside its distribution: NVIDIA's images bring NVIDIA's archive, with its key. */
function vendorSources(
  { aptLists, aptKeys }: BaseFacts,
  architecture: string,
  own: readonly ArchiveSource[],
): ArchiveSource[] {
  const hosts = new Set([...own.map(({ url }) => new URL(url).host), ...DISTRIBUTION_HOSTS])
  // Without a name, as apt does it: by whatever the base trusts for all archives.
  const trusted = [...aptKeys].filter(([path]) => path.startsWith('etc/apt/trusted.gpg.d/')).map(([, key]) => key)
  const keysOf = (signedBy: ListedArchive['signedBy']): Uint8Array[] => {
    if (signedBy === undefined) return trusted
    if ('text' in signedBy) return [Buffer.from(signedBy.text)]
    const named = aptKeys.get(signedBy.path.slice(1))
    return named === undefined ? [] : [named]
  }
  return [...aptLists]
    .flatMap(([path, text]) => parseAptLists(path, text, architecture))
    .filter(({ url }) => URL.canParse(url) && !hosts.has(new URL(url).host))
    .map(({ url, suite, components, signedBy }) => ({ url, suite, components, keys: keysOf(signedBy) }))
}
