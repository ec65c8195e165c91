import { cudaProblem, describeCapability, runsOn, torchCode } from './architectures.ts'
import { compareDrivers, driverFloor } from './drivers.ts'
import type { TorchRow } from './frameworks.ts'
import type { Notes, Question } from './question.ts'
import { minorOf } from './version.ts'

/** Refuses CUDA that the stated driver cannot run. */
export function checkDriver(question: Question, notes: Notes, cuda: string): void {
  const floor = driverFloor(cuda)
  const { minDriver } = question.request
  if (floor === undefined || minDriver === undefined || compareDrivers(minDriver, floor) >= 0) return
  notes.conflicts.push({
    key: 'driver',
    message: `CUDA ${cuda} needs driver ${floor} or newer; ${minDriver} is stated as the oldest`,
    hint: 'Raise `build.targets.min_driver`, or choose an older `build.cuda` or framework.',
  })
}

/** Refuses CUDA and torch that have no code for a stated GPU. */
export function checkArchitectures(question: Question, notes: Notes, cuda: string, torch: TorchRow | undefined): void {
  for (const message of targetProblems(question, cuda, torch)) {
    notes.conflicts.push({
      key: 'targets',
      message,
      hint: 'Change `build.targets.architectures`, `build.cuda` or the framework.',
    })
  }
}

/** Why the stated GPUs cannot run this CUDA, or this build of torch; one sentence each. */
export function targetProblems(question: Question, cuda: string, torch?: TorchRow): readonly string[] {
  return (question.request.architectures ?? []).flatMap((capability) => {
    const problem = cudaProblem(capability, minorOf(cuda))
    if (problem !== undefined) return [`${problem}; CUDA ${cuda} was chosen`]
    const code = torch?.index == null ? undefined : torchCode(torch.index, torch.torch)
    if (torch === undefined || code === undefined || runsOn(code, capability)) return []
    return [`torch ${torch.torch}+${torch.index} has no code for ${describeCapability(capability)}`]
  })
}
