import { cudaProblem } from './architectures.ts'
import { compareDrivers, driverFloor } from './drivers.ts'
import { CompatError } from './error.ts'
import { cudaOfLocal } from './frameworks.ts'
import { CUDA_IMAGES, findImages, type CudaImages } from './images.ts'
import type { EnvironmentChoice, EnvironmentRequest } from './environment.ts'
import { majorOf, minorOf } from './version.ts'

/** The least of a locked wheel that tells about CUDA. */
export interface WheelFact {
  /** Normalised name. */
  readonly name: string
  readonly version: string
}

/** CUDA as the wheels of a lock bring it. */
export interface LockedCuda {
  /** Two parts, such as `12.8`; one when no wheel tells the minor version. */
  readonly cuda: string
  /** Version of the cuDNN wheel, such as `9.10.2.21`. */
  readonly cudnn?: string
  /** The wheel that told, such as `nvidia-cuda-runtime-cu12 12.8.90`. */
  readonly from: string
}

/** Wheels whose own version is the CUDA version that they belong to, best first. */
const RUNTIME_WHEELS = [
  /^cuda-toolkit$/,
  /^nvidia-cuda-runtime(-cu\d+)?$/,
  /^nvidia-cuda-nvrtc(-cu\d+)?$/,
  /^nvidia-cuda-cupti(-cu\d+)?$/,
]

/**
 * Reads from a lock which CUDA its wheels bring, so that frameworks newer than every table are understood.
 *
 * @returns undefined when no wheel brings CUDA
 */
export function cudaFromLock(wheels: readonly WheelFact[]): LockedCuda | undefined {
  const cudnn = wheels.find(({ name }) => /^nvidia-cudnn(-cu\d+)?$/.test(name))?.version
  const withCudnn = cudnn === undefined ? {} : { cudnn }
  for (const pattern of RUNTIME_WHEELS) {
    // Of nvidia-cuda-runtime without a suffix, version 0 is an empty placeholder.
    const wheel = wheels.find(({ name, version }) => pattern.test(name) && !version.startsWith('0'))
    if (wheel === undefined) continue
    // The cu11 wheels of the runtime carry the CUDA version too: 11.8.89.
    return { cuda: minorOf(wheel.version), ...withCudnn, from: `${wheel.name} ${wheel.version}` }
  }
  const suffixed = wheels.find(({ name }) => /^nvidia-.*-cu\d+$/.test(name))
  const major = /-cu(\d+)$/.exec(suffixed?.name ?? '')?.[1]
  if (suffixed === undefined || major === undefined) return undefined
  return { cuda: major, ...withCudnn, from: `${suffixed.name} ${suffixed.version}` }
}

/**
 * Fits a choice to what the lock turned out to bring.
 *
 * The base keeps its CUDA as long as the wheels are of the same family: they bring their own libraries, and one driver runs
 * both. Wheels of another family move the base to it, unless the project states its CUDA: that stays, with a warning.
 *
 * @throws CompatError ENVIRONMENT_CONFLICT when a stated driver or GPU cannot run the wheels
 */
export function settleEnvironment(
  choice: EnvironmentChoice,
  request: EnvironmentRequest,
  wheels: readonly WheelFact[],
): EnvironmentChoice {
  const locked = cudaFromLock(wheels)
  if (!choice.gpu || choice.cuda === undefined || locked === undefined) return { ...choice, awaitsLock: false }
  const family = majorOf(locked.cuda)
  if (family === majorOf(choice.cuda)) return { ...choice, awaitsLock: false }
  checkTargets(locked, request)
  if (request.cuda !== undefined) return keepStated(choice, request.cuda, locked)
  const images = newestOf(locked.cuda, choice.ubuntu)
  const floor = driverFloor(family)
  const cuda = images?.cuda ?? locked.cuda
  const { driverFloor: _floor, ubuntu: _ubuntu, cudnn: _cudnn, ...rest } = choice
  return {
    ...rest,
    cuda,
    ...(images === undefined ? {} : { cudnn: images.cudnn, ubuntu: ubuntuOf(images, choice.ubuntu) }),
    ...(floor === undefined ? {} : { driverFloor: floor }),
    awaitsLock: false,
    reasons: [
      ...choice.reasons.filter(({ key }) => key !== 'cuda' && key !== 'driver' && key !== 'cudnn'),
      {
        key: 'cuda',
        value: cuda,
        reason: `${locked.from} is in the lock`,
        rejected: { value: choice.cuda, reason: 'another family than the wheels' },
      },
      ...(floor === undefined
        ? []
        : [
            {
              key: 'driver',
              value: floor,
              reason: `the oldest that runs CUDA ${family}.x, by minor-version compatibility`,
            },
          ]),
    ],
  }
}

/** The base stays as stated: the wheels bring their own libraries, and ask for a driver that runs both. */
function keepStated(choice: EnvironmentChoice, stated: string, locked: LockedCuda): EnvironmentChoice {
  const family = majorOf(locked.cuda)
  const floors = [choice.driverFloor, driverFloor(family)].filter((floor) => floor !== undefined)
  const floor = floors.toSorted(compareDrivers).at(-1)
  const isSaid = majorOf(cudaOfLocal(choice.torchBuild ?? '') ?? '') === family
  const warning =
    `The wheels bring CUDA ${locked.cuda} (${locked.from}), but CUDA ${stated} is stated: the base has ${stated}. ` +
    `Set \`build.cuda\` to a version ${family}.x for one that goes with them`
  return {
    ...choice,
    ...(floor === undefined ? {} : { driverFloor: floor }),
    awaitsLock: false,
    warnings: isSaid ? choice.warnings : [...choice.warnings, warning],
  }
}

function checkTargets(locked: LockedCuda, request: EnvironmentRequest): void {
  const family = majorOf(locked.cuda)
  const floor = driverFloor(family)
  const { minDriver } = request
  const conflicts = (request.architectures ?? []).flatMap((capability) => {
    const problem = cudaProblem(capability, locked.cuda)
    return problem === undefined
      ? []
      : [{ key: 'targets', message: `${problem}; the wheels bring CUDA ${locked.cuda} (${locked.from})` }]
  })
  if (floor !== undefined && minDriver !== undefined && compareDrivers(minDriver, floor) < 0) {
    conflicts.push({
      key: 'driver',
      message: `The wheels bring CUDA ${locked.cuda} (${locked.from}), which needs driver ${floor}; ${minDriver} is stated as the oldest`,
    })
  }
  if (conflicts.length > 0) throw new CompatError(conflicts)
}

/** Images of the lock's own version, else the newest of its family on the same release. */
function newestOf(cuda: string, ubuntu: string | undefined): CudaImages | undefined {
  const exact = cuda.includes('.') ? findImages(cuda) : undefined
  const family = CUDA_IMAGES.filter((images) => majorOf(images.cuda) === majorOf(cuda))
  return exact ?? family.findLast((images) => ubuntu === undefined || images.ubuntu.includes(ubuntu)) ?? family.at(-1)
}

function ubuntuOf(images: CudaImages, ubuntu: string | undefined): string {
  return ubuntu !== undefined && images.ubuntu.includes(ubuntu) ? ubuntu : (images.ubuntu.at(-1) ?? '')
}
