import { chooseCuda } from './choose-cuda.ts'
import { chooseCudnn, chooseExtras, chooseImages } from './choose-images.ts'
import { choosePython } from './choose-python.ts'
import { chooseTorch, pinTorch } from './choose-torch.ts'
import { driverFloor } from './drivers.ts'
import type { EnvironmentChoice, EnvironmentRequest } from './environment.ts'
import { CompatError } from './error.ts'
import { newestRow, newestTensorflow, rowsOf } from './frameworks.ts'
import { ubuntuPython } from './images.ts'
import { makeQuestion, type Notes, type Question } from './question.ts'
import { checkArchitectures, checkDriver } from './targets.ts'
import { compareVersions, majorOf, minorOf } from './version.ts'

/** Python of the default release of the `debian` base. */
const CPU_PYTHON = '3.11'

/**
 * Chooses CUDA, cuDNN, operating system, Python and package indexes that go together. Pure.
 *
 * @throws CompatError ENVIRONMENT_CONFLICT with every conflict
 */
export function chooseEnvironment(request: EnvironmentRequest): EnvironmentChoice {
  const question = makeQuestion(request)
  const notes: Notes = { conflicts: [], reasons: [], warnings: [] }
  const choice = request.gpu ? chooseGpu(question, notes) : chooseCpu(question, notes)
  if (notes.conflicts.length > 0) throw new CompatError(notes.conflicts)
  return choice
}

function chooseCpu(question: Question, notes: Notes): EnvironmentChoice {
  const row = newestRow(rowsOf(question.torch).filter((row) => row.cuda === null))
  const own = question.ownIndex ?? question.request.projectIndex
  const local = question.local
  if (row !== undefined && local !== undefined && local !== 'cpu' && own === undefined) {
    notes.warnings.push(`torch ${row.torch}+${local} is taken without CUDA, since \`gpu\` is not set`)
  }
  const pins = row?.index == null || own !== undefined ? [] : pinTorch(row)
  if (row !== undefined && pins.length > 0) {
    notes.reasons.push({
      key: 'torch',
      value: `the build ${row.index}`,
      reason: 'no GPU is asked for, and this build holds no CUDA',
    })
  }
  if (row?.index != null && question.ownIndex === undefined && own !== undefined) {
    notes.reasons.push({
      key: 'torch',
      value: 'the build that the index of the project has',
      reason: 'an index that is named wins over that of builds without CUDA',
    })
  }
  const python = choosePython(
    question,
    notes,
    question.request.basePython ?? CPU_PYTHON,
    'what the base brings',
    row,
    undefined,
  )
  return {
    gpu: false,
    python,
    ...(pins.length === 0 || row?.index == null ? {} : { torchBuild: row.index }),
    indexes: pins,
    extras: {},
    awaitsLock: false,
    reasons: notes.reasons,
    warnings: notes.warnings,
  }
}

function chooseGpu(question: Question, notes: Notes): EnvironmentChoice {
  refuseUnknown(question, notes)
  const tensorflow = newestTensorflow(question.tensorflow)
  const decided = chooseCuda(question, notes, tensorflow)
  const torch = chooseTorch(question, notes, decided)
  const images = chooseImages(question, notes, decided.cuda, tensorflow)
  const cuda = images?.cuda ?? decided.cuda
  // A build of torch that is newer than the base asks more of the driver than the base does.
  const demanding = torch?.cuda != null && compareVersions(torch.cuda, minorOf(cuda)) > 0 ? torch.cuda : cuda
  checkDriver(question, notes, demanding)
  checkArchitectures(question, notes, cuda, torch)
  const extras = chooseExtras(question, notes, tensorflow)
  const cudnn = chooseCudnn(question, notes, images, tensorflow)
  // Without an nvidia/cuda image the base's own release decides what it brings.
  const ubuntu = question.request.needsImage === false ? undefined : images?.ubuntu.at(-1)
  const basePython =
    (ubuntu === undefined ? undefined : ubuntuPython(ubuntu)) ?? question.request.basePython ?? CPU_PYTHON
  const python = choosePython(
    question,
    notes,
    basePython,
    ubuntu === undefined ? 'what the base brings' : `what Ubuntu ${ubuntu} has`,
    torch,
    tensorflow,
  )
  const own = question.ownIndex
  const floor = driverFloor(demanding)
  if (floor !== undefined) {
    notes.reasons.push({
      key: 'driver',
      value: floor,
      reason: `the oldest that runs CUDA ${majorOf(demanding)}.x, by minor-version compatibility`,
    })
  }
  return {
    gpu: true,
    cuda,
    ...(cudnn === undefined ? {} : { cudnn }),
    ...(ubuntu === undefined ? {} : { ubuntu }),
    python,
    ...(torch === undefined || own !== undefined ? {} : { torchBuild: torch.index ?? 'default' }),
    indexes: torch?.index == null || own !== undefined ? [] : pinTorch(torch),
    extras,
    ...(floor === undefined ? {} : { driverFloor: floor }),
    awaitsLock: question.torch?.kind === 'newer' || question.tensorflow?.kind === 'newer',
    reasons: notes.reasons,
    warnings: notes.warnings,
  }
}

/** A version that no table has says nothing about CUDA; a stated CUDA settles it. */
function refuseUnknown(question: Question, notes: Notes): void {
  if (question.request.cuda !== undefined) return
  for (const [name, known] of [
    ['torch', question.torch],
    ['tensorflow', question.tensorflow],
  ] as const) {
    if (known?.kind !== 'unknown' || (name === 'torch' && (question.ownIndex ?? question.local) !== undefined)) continue
    notes.conflicts.push({
      key: name,
      message: `It is not known which CUDA version ${name} ${known.version} is built for`,
      hint:
        name === 'torch' && compareVersions(known.version, '1.11') < 0
          ? 'It has no wheels for Python 3.10 and newer: use torch 1.11 or newer.'
          : 'Set `build.cuda`, or use a newer version.',
    })
  }
}
