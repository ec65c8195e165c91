import type { IndexPin } from './environment.ts'
import type { DecidedCuda } from './choose-cuda.ts'
import { isDefaultBuild, newestRow, rowsOf, TORCH_FAMILY, torchIndexUrl, type TorchRow } from './frameworks.ts'
import type { Notes, Question } from './question.ts'
import { compareVersions, majorOf, minorOf } from './version.ts'

/** The build of torch for a CUDA version: the newest that is not newer than it. */
export function chooseTorch(question: Question, notes: Notes, decided: DecidedCuda): TorchRow | undefined {
  if (decided.row !== undefined) return explainTorch(question, notes, decided.row, decided.cuda)
  const rows = rowsOf(question.torch).filter((row) => row.cuda !== null)
  if (rows.length === 0 || question.ownIndex !== undefined) return undefined
  const limit = minorOf(decided.cuda)
  const notNewer = rows.filter((row) => row.cuda !== null && compareVersions(row.cuda, limit) <= 0)
  // A build of the same family before a newer torch of an older one.
  const row = newestRow(notNewer.filter((row) => majorOf(row.cuda ?? '') === majorOf(limit))) ?? newestRow(notNewer)
  if (row === undefined) {
    const builds = [...new Set(rows.map((row) => row.cuda ?? ''))].toSorted(compareVersions)
    const version = newestRow(rows)?.torch ?? ''
    notes.conflicts.push({
      key: 'torch',
      message: `torch ${version} has builds for CUDA ${builds.join(', ')}, all newer than ${limit}`,
      hint: `Set \`build.cuda\` to one of them, or use an older torch.`,
    })
    return undefined
  }
  return explainTorch(question, notes, row, limit)
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
