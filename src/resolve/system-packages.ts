import { BuildError } from '../core/errors.ts'
import type { DebianLock } from '../debian/lock.ts'
import { resolveDebian } from '../debian/resolve.ts'
import { ubuntuSources } from '../debian/source.ts'
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
  { platform, config }: BaseRequest,
  context: ResolveContext,
): Promise<DebianLock | undefined> {
  if (wanted.length === 0) return undefined
  if (facts.packages === undefined || facts.osCodename === '') {
    const system = `${facts.osId} ${facts.osVersion}`.trim() || 'unknown'
    throw new BuildError('NOT_SUPPORTED', `System packages cannot be added to this base (${system}): it has no dpkg`, {
      hint: 'Use a base made from Debian or Ubuntu, or one that has the packages already.',
      data: { packages: wanted },
    })
  }
  const { mirror, snapshot } = config.build.debian
  const lock = await resolveDebian(
    {
      suite: facts.osCodename,
      architecture: platform.architecture,
      packages: [...wanted],
      installed: facts.packages.map(({ record }) => record),
      mirrors: { archive: mirror, snapshot },
      ...(facts.osId === 'ubuntu' ? { sources: ubuntuSources(facts.osCodename, platform.architecture, mirror) } : {}),
    },
    { ...context, cache: context.cache('debian'), now: () => new Date(context.now()) },
  )
  const replaced = new Set(lock.upgraded.map(({ package: name }) => name))
  return { ...lock, base: facts.system.system(replaced) }
}
