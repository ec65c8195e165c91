import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { createClient } from '@redis/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openQueue, type Queue } from '../../src/queue/queue.ts'

// What a person does with a queue, against a real redis-server; the worker's side is python/tests/test_queue.py.

const hasRedis = await promisify(execFile)('redis-server', ['--version']).then(
  () => true,
  () => false,
)
if (!hasRedis && process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error('redis-server is not installed')

describe.skipIf(!hasRedis)('a queue (redis-server)', () => {
  let folder: string
  let server: ChildProcess
  let url: string
  let queue: Queue
  const open = async () => createClient({ url }).connect()

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'queue-'))
    const port = await freePort()
    url = `redis://127.0.0.1:${port}`
    server = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''], {
      stdio: 'ignore',
    })
    for (let tries = 0; ; tries++) {
      const opened = await openQueue(url, 'jobs').catch((error: unknown) => {
        if (tries > 3000) throw error
      })
      if (opened !== undefined) {
        queue = opened
        return
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

  afterAll(async () => {
    await queue.close()
    server.kill()
    await rm(folder, { recursive: true })
  })

  it('submits what a worker reads: the field `value` of a stream entry', async () => {
    const id = await queue.submit({ input: { text: 'a' }, webhook: 'http://example.com/hook' })
    const client = await open()
    const entries = await client.xRange('jobs', '-', '+')
    await client.close()
    expect(JSON.parse(entries?.at(-1)?.message['value'] ?? '')).toMatchObject({
      id,
      input: { text: 'a' },
      webhook: 'http://example.com/hook',
    })
    expect(await queue.status(id)).toMatchObject({ id, status: 'starting', deliveries: 0 })
  })

  it('says so when nobody takes a job that is waited for', async () => {
    const program = path.join(import.meta.dirname, '..', '..', 'bin', 'layerwright.mjs')
    const args = [program, 'queue', 'submit', '--url', url, '--queue', 'forgotten', '-i', 'a=1', '--wait']
    const waiting = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let text = ''
    for await (const chunk of waiting.stderr) {
      text += String(chunk)
      if (text.includes('serve IMAGE')) waiting.kill('SIGINT')
    }
    expect(text).toContain('warning: No worker has taken the job yet')
  })

  it('refuses an id that is in use, and a queue that is full', async () => {
    await queue.submit({ id: 'twice', input: {} })
    await expect(queue.submit({ id: 'twice', input: {} })).rejects.toMatchObject({ code: 'INPUT_INVALID' })
    await expect(queue.submit({ input: {} }, 1)).rejects.toMatchObject({ code: 'QUEUE_FULL' })
  })

  it('cancels what has not ended, by the key that workers watch', async () => {
    const id = await queue.submit({ input: {} })
    expect(await queue.cancel(id)).toBe(true)
    const client = await open()
    expect(await client.exists(`jobs:p:${id}:cancel`)).toBe(1)
    await client.hSet(`jobs:p:${id}`, 'status', 'succeeded')
    await client.close()
    expect(await queue.cancel(id)).toBe(false)
    expect(await queue.cancel('nobody')).toBe(false)
  })

  it('lists dead letters and puts them back', async () => {
    const client = await open()
    const value = JSON.stringify({ id: 'dead1', input: {} })
    await client.xAdd('jobs:dead', '*', { value, id: 'dead1', reason: 'it crashed', deliveries: '3', failed_at: 'now' })
    await client.hSet('jobs:p:dead1', 'status', 'failed')
    const before = await client.xLen('jobs')
    expect(await queue.listDead()).toMatchObject([{ id: 'dead1', reason: 'it crashed', deliveries: 3 }])
    expect(await queue.retryDead('other')).toBe(0)
    expect(await queue.retryDead('dead1')).toBe(1)
    expect(await queue.listDead()).toEqual([])
    expect(await client.xLen('jobs')).toBe(before + 1)
    expect(await client.exists('jobs:p:dead1')).toBe(0)
    await client.close()
  })

  it('says when nobody answers, without the password', async () => {
    const error = await openQueue('redis://user:hunter2@127.0.0.1:9', 'jobs').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'NETWORK_FAILED' })
    expect(String(error)).not.toContain('hunter2')
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
