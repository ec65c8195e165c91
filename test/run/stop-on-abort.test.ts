import { expect, test } from 'vitest'
import { stopOnAbort } from '../../src/run/run-container.ts'

/** A container that ends when it is killed by the signal that it heeds. */
function makeRunning(heeds: NodeJS.Signals): {
  exit: Promise<number>
  kill: (signal: NodeJS.Signals) => void
  heard: string[]
} {
  const heard: string[] = []
  let end = (_status: number): void => {}
  const exit = new Promise<number>((resolve) => (end = resolve))
  const kill = (signal: NodeJS.Signals): void => {
    heard.push(signal)
    if (signal === heeds) end(143)
  }
  return { exit, kill, heard }
}

test('stopOnAbort() stops a container when the signal aborts, and asks once where that does', async () => {
  const [running, abort] = [makeRunning('SIGTERM'), new AbortController()]
  stopOnAbort(running, abort.signal, 60_000)
  expect(running.heard).toEqual([])
  abort.abort()
  expect(await running.exit).toBe(143)
  expect(running.heard).toEqual(['SIGTERM'])
})

test('stopOnAbort() stops a container that was still starting when the signal aborted', async () => {
  const running = makeRunning('SIGTERM')
  stopOnAbort(running, AbortSignal.abort(), 60_000)
  expect(await running.exit).toBe(143)
})

test('stopOnAbort() kills what does not listen', async () => {
  const running = makeRunning('SIGKILL')
  stopOnAbort(running, AbortSignal.abort(), 1)
  expect(await running.exit).toBe(143)
  expect(running.heard).toEqual(['SIGTERM', 'SIGKILL'])
})

test('stopOnAbort() does nothing once it is told to forget', () => {
  const [running, abort] = [makeRunning('SIGTERM'), new AbortController()]
  stopOnAbort(running, abort.signal, 1)()
  abort.abort()
  expect(running.heard).toEqual([])
})
