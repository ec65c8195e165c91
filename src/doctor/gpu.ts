import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assertGpuCode, gpuCodeOf } from '../../layers/gpu-code.ts'
import { layerStore } from '../../layers/layer-store.ts'
import {
  CompatError,
  cudaOfDriver,
  evaluateRequirement,
  findImages,
  formatImage,
  requireDriver,
  type EnvironmentChoice,
} from '../compat/index.ts'
import { compareDrivers } from '../compat/drivers.ts'
import { BuildError, isBuildError, systemErrorCode } from '../core/errors.ts'
import { silent } from '../core/progress.ts'
import { sourceDate } from '../core/source-date.ts'
import { LOCK_FILE, type Lock } from '../lock/lock.ts'
import { parseLock } from '../lock/parse-lock.ts'
import { wheelLayersOf } from '../plan/make-plan.ts'
import { answerEnvironment } from '../resolve/environment.ts'
import { readRequirements } from '../resolve/requirements.ts'
import { loadCdi } from '../run/cdi/registry.ts'
import { which } from '../run/which.ts'
import { Store } from '../store/store.ts'
import { PROXY_REMEDY, reachable } from './network.ts'
import { failure, ok, skipped, warning, type Check, type DoctorContext } from './check.ts'

const driver: Check = {
  id: 'driver',
  group: 'gpu',
  title: 'NVIDIA driver',
  async run({ driver }) {
    return driver === undefined
      ? skipped('This machine has none')
      : ok(`${driver}, for CUDA up to ${cudaOfDriver(driver) ?? 'unknown'}`)
  },
}

const cdi: Check = {
  id: 'cdi',
  group: 'gpu',
  title: 'Device specifications',
  async run({ driver, env }) {
    const { names, errors } = loadCdi((env['LAYERWRIGHT_CDI_DIRS'] || undefined)?.split(':'))
    if (errors.length > 0)
      return warning(errors.map(({ message }) => message).join('; '), 'Write it anew, or remove the file.')
    if (names.length > 0) return ok(names.join(', '))
    if (driver === undefined) return skipped('This machine has no GPU')
    return which('nvidia-ctk', env) === undefined
      ? ok('none; the driver is found without them')
      : ok('none; `nvidia-ctk cdi generate` would write them')
  },
}

/** The environment that the tables choose; its conflicts are the finding. */
async function environmentOf(context: DoctorContext): Promise<EnvironmentChoice | undefined> {
  const { project, env, http, signal } = context
  if (project === undefined) return undefined
  const { config, projectFolder } = project
  // Requirement files are read from the project; nothing of what they name is asked for.
  const { requirements, options } = await readRequirements(config, { projectFolder, env, http, signal, report: silent })
  return answerEnvironment(config, requirements, options.indexUrl).choice
}

const matrix: Check = {
  id: 'compatibility',
  group: 'gpu',
  title: 'CUDA, cuDNN, Python and frameworks',
  async run(context) {
    if (context.project === undefined) return skipped('There is no project here')
    try {
      const choice = await environmentOf(context)
      if (choice === undefined) return skipped('There is no project here')
      const parts = [
        `Python ${choice.python}`,
        choice.torchBuild === undefined ? [] : `torch build ${choice.torchBuild}`,
      ].flat()
      if (choice.cuda === undefined) return ok(parts.join(', '))
      const images = findImages(choice.cuda)
      const image = images === undefined ? [] : [`on ${formatImage(images, 'base', choice.ubuntu)} or a larger flavour`]
      const text = [`CUDA ${choice.cuda}`, `cuDNN ${choice.cudnn ?? 'none'}`, ...parts, ...image].join(', ')
      return choice.warnings.length === 0
        ? ok(text)
        : warning(choice.warnings.join('; '), 'State `build.cuda` to decide it.')
    } catch (error) {
      if (error instanceof CompatError) return failure(error.message, error.hint ?? 'Change one of the versions.')
      if (error instanceof BuildError) return skipped(`The requirements cannot be read: ${error.message}`)
      throw error
    }
  },
}

const ownDriver: Check = {
  id: 'driver-fit',
  group: 'gpu',
  title: 'This driver for this project',
  async run(context) {
    const { driver, project } = context
    if (project?.config.build.gpu !== true) return skipped('The project uses no GPU')
    if (driver === undefined) return skipped('This machine has no driver; the image can run elsewhere')
    let floor: string | undefined
    try {
      floor = (await environmentOf(context))?.driverFloor
    } catch (error) {
      if (error instanceof BuildError) return skipped('There is no choice to compare with')
      throw error
    }
    if (floor === undefined) return skipped('The driver floor is not known')
    const fits = evaluateRequirement(requireDriver(floor), { driver }).satisfied
    return fits
      ? ok(`${driver} is ${compareDrivers(driver, floor) === 0 ? 'the oldest that runs it' : `newer than ${floor}`}`)
      : warning(
          `The image needs driver ${floor}; this machine has ${driver}`,
          'Update the driver, or state `build.targets.min_driver` to get an older CUDA.',
        )
  },
}

const torchIndex = reachable(
  'torch-index',
  'Torch index',
  async (context) => {
    try {
      const pin = (await environmentOf(context))?.indexes.find(({ sameAsDefault }) => !sameAsDefault)
      return pin === undefined ? undefined : `${pin.url}torch/`
    } catch (error) {
      // The check of the versions tells what is wrong.
      if (error instanceof BuildError) return undefined
      throw error
    }
  },
  `${PROXY_REMEDY} An index of your own is set with \`build.python_index.packages.torch\`.`,
)

const gpuCode: Check = {
  id: 'gpu-code',
  group: 'gpu',
  title: 'GPU code of the locked packages',
  async run({ project, store: location, env }) {
    if (project?.config.build.gpu !== true) return skipped('The project uses no GPU')
    const lock = await readLock(join(project.projectFolder, LOCK_FILE))
    if (lock === undefined) return skipped(`There is no ${LOCK_FILE}`)
    const { notes } = layerStore(await Store.open(location))
    const context = { mtimeSeconds: sourceDate(env) }
    const specs = lock.platforms.flatMap((platform) => wheelLayersOf(platform).wheels.map(({ spec }) => spec))
    const packages = await gpuCodeOf(specs, context, notes)
    if (packages.length === 0)
      return skipped('No package with such code was laid here yet; `layerwright build` looks at it')
    try {
      assertGpuCode(packages, project.config.build.targets.architectures)
    } catch (error) {
      if (!(error instanceof BuildError)) throw error
      return failure(error.message, error.hint ?? 'Change one of the versions.')
    }
    return ok(packages.map(({ package: name, architectures }) => `${name}: ${architectures.join(' ')}`).join('; '))
  },
}

/** The project's lock; undefined when there is none that can be read, which building tells of. */
async function readLock(path: string): Promise<Lock | undefined> {
  try {
    return parseLock(await readFile(path, 'utf8'), path)
  } catch (error) {
    if (isBuildError(error, 'LOCK_STALE') || systemErrorCode(error) !== undefined) return undefined
    throw error
  }
}

/** What GPUs and frameworks ask for. */
export const GPU_CHECKS: readonly Check[] = [driver, cdi, matrix, ownDriver, torchIndex, gpuCode]
