import {
  chooseEnvironment,
  type EnvironmentChoice,
  type EnvironmentRequest,
  type FrameworkRequirement,
  type Reason,
} from '../compat/index.ts'
import type { Config } from '../config/config.ts'
import { withoutBuild } from './fit-requirement.ts'
import type { LockedChoice } from '../lock/lock.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import { formatPublic, parseVersion } from '../python/version.ts'
import { matchesSpecifiers } from '../python/specifier.ts'

/** CUDA, Python and indexes that go together, with what they were asked by. */
export interface EnvironmentAnswer {
  readonly request: EnvironmentRequest
  readonly choice: EnvironmentChoice
  /** Two or three parts. */
  readonly python: string
}

/**
 * Asks the compatibility tables.
 *
 * @param indexUrl the index that a requirements file names
 * @throws CompatError ENVIRONMENT_CONFLICT
 */
export function answerEnvironment(
  config: Config,
  requirements: readonly RootRequirement[],
  indexUrl?: string,
): EnvironmentAnswer {
  const { build } = config
  const hasImage = build.baseImage === undefined && (build.base === 'cuda' || (build.base === 'auto' && build.gpu))
  const request: EnvironmentRequest = {
    gpu: build.gpu,
    cuda: build.cuda,
    cudnn: build.cudnn,
    python: build.pythonVersion,
    frameworks: requirements.map((root) => frameworkOf(root, config)),
    minDriver: build.targets.minDriver,
    architectures: build.targets.architectures,
    needsImage: hasImage,
    projectIndex: build.pythonIndex.url ?? indexUrl,
  }
  const choice = chooseEnvironment(request)
  return { request, choice, python: choice.python }
}

/** A reason of the tables as a lock holds it. */
export function lockChoice({ key, value, reason, rejected }: Reason): LockedChoice {
  return rejected === undefined
    ? { key, value, reason }
    : { key, value, reason, rejected: `${rejected.value}: ${rejected.reason}` }
}

function frameworkOf({ requirement }: RootRequirement, config: Config): FrameworkRequirement {
  const { name, extras, specifiers } = requirement
  const pin = specifiers.find(({ operator, isPrefix }) => operator === '==' && !isPrefix)
  const local = pin?.text.split('+')[1]
  return {
    name,
    extras,
    ...(pin?.version === undefined ? {} : { pinned: formatPublic(pin.version) }),
    ...(local === undefined ? {} : { local }),
    ...(config.build.pythonIndex.packages[name] === undefined
      ? {}
      : { ownIndex: config.build.pythonIndex.packages[name] }),
    accepts: (version) => matchesSpecifiers(withoutBuild(specifiers), parseVersion(version), version),
  }
}
