export type { EnvironmentChoice, EnvironmentRequest, IndexPin, Reason } from './environment.ts'
export { cudaProblem, describeCapability, runsOn, torchCode, type GpuCode } from './architectures.ts'
export { compareDrivers, cudaOfDriver, DEFAULT_MIN_DRIVER, driverFloor, releaseDriver, runsFamily } from './drivers.ts'
export { CompatError, type Conflict } from './error.ts'
export {
  chooseFlavour,
  compilerPackages,
  type FlavourChoice,
  type FlavourRequest,
  type FlavourWheel,
} from './flavour.ts'
export { cudaOfIndexUrl, cudaOfLocal, TORCH_FAMILY, torchIndexUrl, type FrameworkRequirement } from './frameworks.ts'
export { cudaFromLock, settleEnvironment, type LockedCuda, type WheelFact } from './from-lock.ts'
export { CUDA_IMAGES, findImages, formatImage, ubuntuPython, type CudaFlavour, type CudaImages } from './images.ts'
export { chooseEnvironment } from './lookup.ts'
export { evaluateRequirement, requireCuda, requireDriver, type GpuHost } from './require.ts'
