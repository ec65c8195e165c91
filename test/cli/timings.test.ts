import { expect, test } from 'vitest'
import { formatTimings, keepTimes } from '../../src/cli/progress/timings.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'

test('keepTimes() passes events on, and counts overlapping work of a kind once', () => {
  let now = 0
  let cpu = 100
  let [wait, turns] = [5, 7]
  const passed: ProgressEvent[] = []
  const keeper = keepTimes((event) => void passed.push(event), {
    now: () => now,
    cpu: () => cpu,
    diskWait: () => wait,
    uploadWait: () => turns,
  })
  const at = (time: number, event: ProgressEvent): void => {
    now = time
    keeper.report(event)
  }
  at(0, { type: 'start', id: 'a', name: 'one', kind: 'download' })
  at(10, { type: 'start', id: 'b', name: 'two', kind: 'download' })
  at(15, { type: 'bytes', id: 'a', bytes: 100 })
  at(20, { type: 'bytes', id: 'a', bytes: 1000 })
  at(20, { type: 'end', id: 'a', outcome: 'done' })
  at(30, { type: 'end', id: 'b', outcome: 'failed' })
  at(50, { type: 'start', id: 'c', name: 'three', kind: 'download' })
  at(60, { type: 'end', id: 'c', outcome: 'cached' })
  at(60, { type: 'start', id: 'd', name: 'of no kind' })
  at(70, { type: 'end', id: 'd', outcome: 'done' })
  at(70, { type: 'spent', on: 'hash', ms: 3 })
  at(80, { type: 'spent', on: 'hash', ms: 4 })
  at(80, { type: 'spent', on: 'wait for network', ms: 2 })
  cpu = 175
  wait = 25
  turns = 19
  expect(passed).toHaveLength(13)
  const timings = keeper.timings()
  expect(timings).toEqual({
    wholeMs: 80,
    cpuMs: 75,
    phases: [{ kind: 'download', busyMs: 40, tasks: 3, bytes: 1000 }],
    spent: [
      { on: 'hash', ms: 7 },
      { on: 'wait for network', ms: 2 },
      { on: 'wait for disk', ms: 20 },
      { on: 'wait for uploads', ms: 12 },
    ],
  })
  expect(formatTimings(timings)).toMatch(/download +0\.0s +3 x {2}1\.0 kB/)
})
