import { BuildError } from '../core/errors.ts'
import type { LockedImageBase } from '../lock/lock.ts'
import { interpreterChoice, type BaseDraft, type BaseRequest } from './base-draft.ts'
import { distributionsFor, type BaseFacts } from './base-facts.ts'
import type { OpenedBase, ResolveContext } from './context.ts'
import { chooseInterpreter } from './interpreter.ts'
import { knownBaseFacts } from './known-base-facts.ts'
import { systemPackagesFor } from './system-packages.ts'

/** An existing image, whatever is in it: its layers are read once to learn what they hold. */
export async function imageBase(
  location: string,
  reason: string,
  request: BaseRequest,
  context: ResolveContext,
): Promise<BaseDraft> {
  const { config, platform, environment } = request
  const { build } = config
  const opened = await context.openBase(location, platform)
  const facts = await knownBaseFacts(opened, context)
  const { libc } = facts
  if (libc === undefined) {
    throw new BuildError('BASE_NOT_FOUND', `No C library was found in the base image: \`${location}\``, {
      hint: 'Python needs one. Use a base made from Debian, Ubuntu, Alpine or the like.',
    })
  }
  // Without a stated version the base's own Python is what its user expects.
  const version = build.pythonVersion ?? facts.pythons[0]?.version ?? environment.python
  const interpreter = await chooseInterpreter({ build, platform, version, found: facts.pythons, libc }, context)
  return {
    interpreter,
    libc,
    ...(interpreter.kind === 'base' ? { distributions: distributionsFor(facts, interpreter.executable) } : {}),
    complete: async () => ({
      base: lockImage(location, opened, facts),
      systemPackages: await systemPackagesFor(build.systemPackages, facts, request, context),
      choices: [{ key: 'base', value: location, reason }, interpreterChoice(interpreter, build.pythonVersion)],
    }),
  }
}

/** An opened base as a lock names it. */
export function lockImage(
  location: string,
  opened: OpenedBase,
  facts: Pick<BaseFacts, 'osId' | 'osVersion'>,
): LockedImageBase {
  return {
    kind: 'image',
    location,
    manifest: opened.manifest,
    config: opened.config,
    layers: opened.layers.map(({ descriptor }) => descriptor),
    operatingSystem: `${facts.osId} ${facts.osVersion}`.trim(),
  }
}
