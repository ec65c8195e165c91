import { driverFloor, newestFamily, runsFamily } from './drivers.ts'
import { cudaOfIndexUrl, cudaOfLocal, newestRow, rowsOf, type TensorflowRow, type TorchRow } from './frameworks.ts'
import { CUDA_IMAGES } from './images.ts'
import type { Notes, Question } from './question.ts'
import { targetProblems } from './targets.ts'
import { compareVersions, majorOf, minorOf, newest } from './version.ts'

/** The CUDA version that was decided on. */
export interface DecidedCuda {
  /** Two or three parts. */
  readonly cuda: string
  /** The build of torch that decided it. */
  readonly row?: TorchRow
}

/** Decides the CUDA version: stated, else TensorFlow's, else torch's, else the newest that the driver runs. */
export function chooseCuda(question: Question, notes: Notes, tensorflow: TensorflowRow | undefined): DecidedCuda {
  const { cuda: stated } = question.request
  if (stated !== undefined) {
    notes.reasons.push({ key: 'cuda', value: stated, reason: 'stated in `build.cuda`' })
    if (tensorflow !== undefined) compareWithTensorflow(notes, stated, tensorflow)
    return { cuda: stated }
  }
  if (tensorflow !== undefined) {
    notes.reasons.push({
      key: 'cuda',
      value: tensorflow.cuda,
      reason: `tensorflow ${tensorflow.tensorflow} is built for it`,
    })
    return { cuda: tensorflow.cuda }
  }
  const own = question.ownIndex
  const ownCuda = own === undefined ? undefined : cudaOfIndexUrl(own)
  if (ownCuda !== undefined) {
    notes.reasons.push({
      key: 'cuda',
      value: ownCuda,
      reason: 'the index that the requirements name for torch is built for it',
    })
    return { cuda: ownCuda }
  }
  const local = question.local
  const localCuda = local === undefined ? undefined : cudaOfLocal(local)
  if (localCuda !== undefined) {
    notes.reasons.push({ key: 'cuda', value: localCuda, reason: `torch is pinned to the build ${local}` })
    return { cuda: localCuda }
  }
  const row = newestTorch(question, notes)
  if (row?.cuda != null) return { cuda: row.cuda, row }
  return { cuda: defaultCuda(question, notes) }
}

function compareWithTensorflow(notes: Notes, stated: string, row: TensorflowRow): void {
  if (majorOf(stated) !== majorOf(row.cuda)) {
    notes.conflicts.push({
      key: 'tensorflow',
      message: `tensorflow ${row.tensorflow} is built for CUDA ${row.cuda}, not for ${stated}`,
      hint: `Set \`cuda: "${row.cuda}"\`, or leave it out.`,
    })
  } else if (minorOf(stated) !== row.cuda) {
    notes.warnings.push(
      `tensorflow ${row.tensorflow} was built and tested with CUDA ${row.cuda}; CUDA ${stated} is stated`,
    )
  }
}

/** The newest torch that is admitted, in its newest build that the driver and the GPUs can run. */
function newestTorch(question: Question, notes: Notes): TorchRow | undefined {
  const rows = rowsOf(question.torch).filter((row) => row.cuda !== null && compareVersions(row.cuda, '11') >= 0)
  if (rows.length === 0) return undefined
  const family = newestFamily(question.driver)
  const runs = (row: TorchRow): boolean => row.cuda !== null && runsFamily(question.driver, majorOf(row.cuda))
  const fits = (row: TorchRow): boolean => row.cuda !== null && targetProblems(question, row.cuda, row).length === 0
  const chosen =
    newestRow(rows.filter((row) => runs(row) && fits(row))) ?? newestRow(rows.filter(runs)) ?? newestRow(rows)
  if (chosen?.cuda == null) return undefined
  const better = newestRow(
    rows.filter((row) => row.torch === chosen.torch && compareVersions(row.cuda ?? '', chosen.cuda ?? '') > 0),
  )
  const builds = rows.filter((row) => row.torch === chosen.torch).map((row) => row.cuda)
  notes.reasons.push({
    key: 'cuda',
    value: chosen.cuda,
    reason: runs(chosen)
      ? `torch ${chosen.torch} has builds for CUDA ${builds.join(', ')}; this is the newest that driver ${question.driver}${question.isDriverStated ? '' : ' (assumed)'} runs`
      : `torch ${chosen.torch} has no build for an older family`,
    ...(better?.cuda == null
      ? {}
      : {
          rejected: {
            value: better.cuda,
            reason:
              family !== undefined && compareVersions(majorOf(better.cuda), family) > 0
                ? `needs driver ${driverFloor(better.cuda) ?? 'newer'}; state it in \`build.targets.min_driver\` to have it`
                : (targetProblems(question, better.cuda, better)[0] ?? 'does not fit'),
          },
        }),
  })
  return chosen
}

function defaultCuda(question: Question, notes: Notes): string {
  const jax = question.request.frameworks.find(({ name }) => name === 'jax' || name === 'jaxlib')
  const asked = jax?.extras?.map((extra) => /^cuda(\d+)/.exec(extra)?.[1]).find((major) => major !== undefined)
  const family = asked ?? newestFamily(question.driver) ?? '11'
  const candidates = CUDA_IMAGES.filter((images) => majorOf(images.cuda) === family)
  const fitting =
    candidates.findLast((images) => targetProblems(question, images.cuda).length === 0) ?? candidates.at(-1)
  const cuda = fitting === undefined ? family : minorOf(fitting.cuda)
  const next = newest(
    CUDA_IMAGES.map((images) => majorOf(images.cuda)).filter((major) => compareVersions(major, family) > 0),
  )
  notes.reasons.push({
    key: 'cuda',
    value: cuda,
    reason:
      asked === undefined
        ? `no framework asks for another; the newest of the family that driver ${question.driver}${question.isDriverStated ? '' : ' (assumed)'} runs`
        : `jax asks for CUDA ${asked}`,
    ...(next === undefined || asked !== undefined
      ? {}
      : {
          rejected: {
            value: `${next}.x`,
            reason: `needs driver ${driverFloor(next) ?? 'newer'}; set \`build.cuda\` or \`build.targets.min_driver\` to have it`,
          },
        }),
  })
  return cuda
}
