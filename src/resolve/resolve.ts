import type { Config } from '../config/config.ts'
import type { Digest } from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { canonicalJson } from '../core/json.ts'
import { runTask } from '../core/progress.ts'
import type { Lock, LockedPlatform, PlatformLock } from '../lock/lock.ts'
import { draftBase } from './base.ts'
import type { ResolveContext } from './context.ts'
import { answerEnvironment } from './environment.ts'
import { resolveLauncher } from './launcher.ts'
import { readRequirements, requirementFiles, resolvePackages } from './python-packages.ts'

/**
 * Asks the world everything that a build must know, for every platform of the project.
 *
 * @throws BuildError as base, interpreter, index and archive say
 */
export async function resolve(config: Config, context: ResolveContext): Promise<Lock> {
  const platforms: PlatformLock[] = []
  for (const text of config.build.platforms) {
    const platform = parsePlatform(text)
    platforms.push(await runTask(context.report, `resolve ${text}`, () => resolvePlatform(config, platform, context)))
  }
  return { lockVersion: 1, inputs: await resolutionInputs(config, context), platforms }
}

/** Digest of all that the answers depend on. What only concerns the plan (code, labels, `run`) is no part of it. */
export async function resolutionInputs(config: Config, context: ResolveContext): Promise<Digest> {
  const { run: _, ...build } = config.build
  const settings = Object.entries(context.env).filter(([name, value]) => SETTINGS.test(name) && value !== undefined)
  return digestOf(
    canonicalJson({
      build,
      runtime: config.runtime,
      settings: Object.fromEntries(settings),
      requirements: await requirementFiles(config, context),
    }),
  )
}

/** Variables that change what is resolved. Their values may hold credentials, so only the digest is kept. */
const SETTINGS = /^(?:PIP_|UV_|LAYERWRIGHT_INTERPRETERS$)/

/** A platform of a configuration, such as `linux/arm64`. @throws BuildError PLATFORM_NOT_FOUND */
export function parsePlatform(text: string): LockedPlatform {
  const [os, architecture] = text.split('/')
  if (os === 'linux' && (architecture === 'amd64' || architecture === 'arm64')) return { os, architecture }
  throw new BuildError('PLATFORM_NOT_FOUND', `Images cannot be built for this platform: \`${text}\``, {
    hint: 'Known platforms: linux/amd64, linux/arm64.',
  })
}

async function resolvePlatform(
  config: Config,
  platform: LockedPlatform,
  context: ResolveContext,
): Promise<PlatformLock> {
  const requirements = await readRequirements(config, context)
  const environment = answerEnvironment(config, requirements)
  const draft = await draftBase({ config, platform, environment }, context)
  const { interpreter, libc } = draft
  const target = { pythonVersion: interpreter.version, platform, libc }
  const [wheels, launcher] = await Promise.all([
    resolvePackages({ config, target, requirements, environment }, context),
    resolveLauncher(config, target, context),
  ])
  const { base, systemPackages, choices } = await draft.complete(wheels)
  for (const text of environment.choice.warnings) context.report({ type: 'note', level: 'warning', text })
  return {
    platform,
    base,
    interpreter,
    libc,
    wheels,
    launcher,
    choices,
    ...(systemPackages === undefined ? {} : { systemPackages }),
  }
}
