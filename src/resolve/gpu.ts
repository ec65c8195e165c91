import type { EnvironmentChoice } from '../compat/index.ts'
import type { LockedGpu, LockedInterpreter } from '../lock/lock.ts'
import type { LockedWheel } from '../python/lock.ts'

/**
 * Packages whose libraries name CUDA's without saying where they are (no RPATH); the loader must be told.
 *
 * torch, TensorFlow, jax and xgboost find the wheels beside them by themselves.
 */
const WITHOUT_PATH = [/^onnxruntime-gpu$/, /^ctranslate2$/, /^cupy-cuda\d+x$/, /^paddlepaddle-gpu$/, /^tensorrt/]

/** Where the virtual environment lies in every image. */
const ENVIRONMENT = '/opt/venv'

/** What GPUs need for these wheels. */
export function lockGpu(
  choice: EnvironmentChoice,
  interpreter: LockedInterpreter,
  wheels: readonly LockedWheel[],
): LockedGpu {
  const needsPath = wheels.some(({ name }) => WITHOUT_PATH.some((pattern) => pattern.test(name)))
  const minor = interpreter.version.split('.').slice(0, 2).join('.')
  const site = `${ENVIRONMENT}/lib/python${minor}/site-packages`
  const folders = new Set(
    wheels.flatMap((wheel) => libraryFolder(wheel, wheels)).map((folder) => `${site}/nvidia/${folder}/lib`),
  )
  return {
    ...(choice.driverFloor === undefined ? {} : { driverFloor: choice.driverFloor }),
    libraryFolders: needsPath ? [...folders].sort() : [],
  }
}

/**
 * Where a wheel of NVIDIA's has its libraries, below `nvidia/`: a folder of its own, or, in wheels without a suffix, which
 * exist since CUDA 13, the one that all of them share.
 */
function libraryFolder({ name }: LockedWheel, wheels: readonly LockedWheel[]): readonly string[] {
  const [, library, suffix] = /^nvidia-(.+?)(-cu\d+)?$/.exec(name) ?? []
  if (library === undefined) return []
  if (suffix !== undefined) return [library.replaceAll('-', '_')]
  const runtime = wheels.find((wheel) => wheel.name === 'nvidia-cuda-runtime')
  return [`cu${runtime?.version.split('.')[0] ?? '13'}`]
}
