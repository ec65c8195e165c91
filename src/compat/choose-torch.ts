import type { IndexPin } from './environment.ts'
import type { DecidedCuda } from './choose-cuda.ts'
import { driverFloor } from './drivers.ts'
import { isDefaultBuild, newestRow, rowsOf, TORCH_FAMILY, torchIndexUrl, type TorchRow } from './frameworks.ts'
import type { Notes, Question } from './question.ts'
import { compareVersions, majorOf, minorOf } from './version.ts'

/**
 * The build of torch for a CUDA version: the newest that is not newer than it, else the one that is least newer.
 *
 * A newer build is no conflict: its wheels bring CUDA's libraries themselves, so that it needs a driver and no base of its
 * version. Cog, too, warns and takes another build.
 */
export function chooseTorch(question: Question, notes: Notes, decided: DecidedCuda): TorchRow | undefined {
  if (decided.row !== undefined) return explainTorch(question, notes, decided.row, decided.cuda)
  const rows = rowsOf(question.torch).filter((row) => row.cuda !== null)
  if (rows.length === 0 || question.ownIndex !== undefined) return undefined
  const limit = minorOf(decided.cuda)
  const notNewer = rows.filter((row) => row.cuda !== null && compareVersions(row.cuda, limit) <= 0)
  // A build of the same family before a newer torch of an older one.
  const row = newestRow(notNewer.filter((row) => majorOf(row.cuda ?? '') === majorOf(limit))) ?? newestRow(notNewer)
  if (row === undefined) return leastNewer(notes, rows, limit)
  return explainTorch(question, notes, row, limit)
}

function leastNewer(notes: Notes, rows: readonly TorchRow[], limit: string): TorchRow | undefined {
  const newest = newestRow(rows)?.torch
  const builds = rows.filter((row) => row.torch === newest)
  const row = builds.reduce((least, other) => (compareVersions(other.cuda ?? '', least.cuda ?? '') < 0 ? other : least))
  const cuda = row.cuda ?? ''
  notes.warnings.push(
    `torch ${row.torch} has builds for CUDA ${builds.map((build) => build.cuda).join(', ')}, all newer than ${limit}: ` +
      `the one for ${cuda} is taken, which brings its own libraries${driverNote(cuda)}. ` +
      `Set \`build.cuda\` to \`${cuda}\` for a base that goes with it`,
  )
  notes.reasons.push({
    key: 'torch',
    value: `${row.torch}${row.index === null ? '' : `+${row.index}`}`,
    reason: `no build is for CUDA ${limit} or older; this is the oldest`,
  })
  return row
}

function driverNote(cuda: string): string {
  const floor = driverFloor(cuda)
  return floor === undefined ? '' : ` and needs driver ${floor}`
}

function explainTorch(question: Question, notes: Notes, row: TorchRow, cuda: string): TorchRow {
  const local = question.local
  if (local !== undefined && row.index !== null && local !== row.index) {
    notes.warnings.push(
      `torch is pinned to the build ${local}, but CUDA ${cuda} decides: the build ${row.index} is taken`,
    )
  }
  notes.reasons.push({
    key: 'torch',
    value: `${row.torch}${row.index === null ? '' : `+${row.index}`}`,
    reason:
      row.cuda === minorOf(cuda)
        ? `the build for CUDA ${row.cuda}`
        : `the newest build that is not newer than CUDA ${cuda}`,
  })
  return row
}

/** Pins the torch family to the index of a build. */
export function pinTorch(row: TorchRow): readonly IndexPin[] {
  if (row.index === null) return []
  return [{ packages: TORCH_FAMILY, url: torchIndexUrl(row.index), sameAsDefault: isDefaultBuild(row.torch, row.cuda) }]
}
