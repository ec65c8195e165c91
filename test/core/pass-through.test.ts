import { expect, test } from 'vitest'
import { passThrough } from '../../src/core/pass-through.ts'

async function* numbers(count: number, failAt = Infinity): AsyncGenerator<number> {
  for (let n = 0; n < count; n++) {
    if (n === failAt) throw new Error('source')
    await Promise.resolve()
    yield n
  }
}

async function all(stream: AsyncIterable<number>): Promise<number[]> {
  const list: number[] = []
  for await (const chunk of stream) list.push(chunk)
  return list
}

test('passThrough() gives both readers everything, the slower one sets the pace', async () => {
  let copy: number[] = []
  const most = { ahead: 0, read: 0 }
  const passed = passThrough(numbers(50), async (stream) => {
    for await (const chunk of stream) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      copy.push(chunk)
    }
  })
  const seen: number[] = []
  for await (const chunk of passed) {
    seen.push(chunk)
    most.ahead = Math.max(most.ahead, seen.length - copy.length)
  }
  expect(seen).toEqual(await all(numbers(50)))
  expect(copy).toEqual(seen)
  expect(most.ahead).toBeLessThanOrEqual(3)
  copy = []
})

test('passThrough() fails both when the source fails', async () => {
  let sinkError: unknown
  const passed = passThrough(numbers(10, 5), (copy) => all(copy).catch((error: unknown) => void (sinkError = error)))
  await expect(all(passed)).rejects.toThrow('source')
  expect(sinkError).toBeInstanceOf(Error)
})

test('passThrough() throws what the sink throws', async () => {
  const passed = passThrough(numbers(10), async (copy) => {
    for await (const chunk of copy) if (chunk === 3) throw new Error('full')
  })
  await expect(all(passed)).rejects.toThrow('full')
  const late = passThrough(numbers(3), async (copy) => {
    await all(copy)
    throw new Error('late')
  })
  await expect(all(late)).rejects.toThrow('late')
})

test('passThrough() lets the sink keep nothing when the caller stops early', async () => {
  let isKept = false
  const passed = passThrough(numbers(100), async (copy) => {
    await all(copy)
    isKept = true
  })
  for await (const chunk of passed) if (chunk === 2) break
  expect(isKept).toBe(false)
})

test('passThrough() goes on when the sink needs no more', async () => {
  await expect(all(passThrough(numbers(10), () => Promise.resolve()))).resolves.toHaveLength(10)
})
