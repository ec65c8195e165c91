import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { oneAtATime } from '../../src/store/single-flight.ts'
import { bundle } from '../support/bundle.ts'

let program: Awaited<ReturnType<typeof bundle>>
let folder: string
beforeAll(async () => {
  program = await bundle(fileURLToPath(new URL('hold-lock.ts', import.meta.url)))
})
afterAll(() => rm(program.folder, { recursive: true }))
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-locks-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Another process that holds the lock. */
const holder = async (): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [program.file, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

it('oneAtATime() runs equal work one after the other, and leaves nothing behind', async () => {
  let running = 0
  let most = 0
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 1))
    running--
  }
  await Promise.all(Array.from({ length: 10 }, () => oneAtATime(folder, 'work', work, { pollMs: 1 })))
  expect(most).toBe(1)
  expect(await readdir(join(folder, 'locks'))).toEqual([])
})

it('oneAtATime() does not keep different work apart', async () => {
  const order: string[] = []
  await oneAtATime(folder, 'one', async () => {
    await oneAtATime(folder, 'two', async () => void order.push('two'))
    order.push('one')
  })
  expect(order).toEqual(['two', 'one'])
})

it('oneAtATime() has one file behind all locks of a process, and leaves none', async () => {
  const names = Array.from({ length: 20 }, (_, n) => `work ${n}`)
  let meeting = 0
  const seen: { readonly locks: number; readonly drafts: number }[] = []
  await Promise.all(
    names.map((name) =>
      oneAtATime(folder, name, async () => {
        meeting++
        while (meeting < names.length) await new Promise((resolve) => setTimeout(resolve, 1))
        const [locks, drafts] = await Promise.all(['locks', 'tmp'].map((part) => readdir(join(folder, part))))
        seen.push({ locks: locks?.length ?? 0, drafts: drafts?.length ?? 0 })
      }),
    ),
  )
  expect(seen[0]).toEqual({ locks: 20, drafts: 1 })
  expect(await readdir(join(folder, 'tmp'))).toEqual([])
})

it('oneAtATime() gives the lock back when the work fails', async () => {
  const failing = oneAtATime(folder, 'work', () => Promise.reject(new Error('no')))
  await expect(failing).rejects.toThrow('no')
  expect(await oneAtATime(folder, 'work', async () => 'done')).toBe('done')
})

it('oneAtATime() waits for another process, and no longer', async () => {
  const child = await holder()
  let isDone = false
  const waiting = oneAtATime(folder, 'work', async () => (isDone = true), { pollMs: 1 })
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(isDone).toBe(false)
  child.stdin?.write('go')
  await waiting
  expect(isDone).toBe(true)
})

it('oneAtATime() takes over from a process that was killed', async () => {
  const child = await holder()
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await oneAtATime(folder, 'work', async () => 'done')).toBe('done')
})

it('oneAtATime() stops waiting when it is told to', async () => {
  const child = await holder()
  const waiting = oneAtATime(folder, 'work', async () => 'done', { signal: AbortSignal.abort(new Error('enough')) })
  await expect(waiting).rejects.toThrow()
  child.kill('SIGKILL')
  await once(child, 'exit')
})
