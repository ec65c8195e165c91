import type { TensorflowRow, TorchRow } from './frameworks.ts'
import type { Notes, Question } from './question.ts'
import { newest } from './version.ts'

/**
 * The Python version: stated, else the base's own, else the newest that every framework has wheels for.
 *
 * @param base  version that the base has, chosen for the reason `why`
 */
export function choosePython(
  question: Question,
  notes: Notes,
  base: string,
  why: string,
  torch: TorchRow | undefined,
  tensorflow: TensorflowRow | undefined,
): string {
  const { python } = question.request
  if (python !== undefined) {
    notes.reasons.push({ key: 'python', value: python, reason: 'stated in `build.python_version`' })
    return python
  }
  const lists = [torch?.pythons, tensorflow?.pythons].filter((list) => list !== undefined)
  const common = lists.reduce<readonly string[] | undefined>(
    (all, list) => (all === undefined ? list : all.filter((version) => list.includes(version))),
    undefined,
  )
  if (common === undefined || common.includes(base)) {
    notes.reasons.push({ key: 'python', value: base, reason: why })
    return base
  }
  const chosen = newest(common) ?? base
  const names = [
    torch === undefined ? [] : `torch ${torch.torch}`,
    tensorflow === undefined ? [] : `tensorflow ${tensorflow.tensorflow}`,
  ].flat()
  notes.reasons.push({
    key: 'python',
    value: chosen,
    reason: `the newest that ${names.join(' and ')} has wheels for`,
    rejected: { value: base, reason: `${why}, but there are no wheels for it` },
  })
  return chosen
}
