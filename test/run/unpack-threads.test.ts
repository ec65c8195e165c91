import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import type { Layer } from '../../layers/layer.ts'
import { BuildError } from '../../src/core/errors.ts'
import { DependentLayerError } from '../../src/run/unpack/dependent-layer.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { makeUnpackPool, type UnpackPool, type UnpackThread } from '../../src/run/unpack/threads/pool.ts'
import { serveUnpacking } from '../../src/run/unpack/threads/serve.ts'
import { digest, dir, file, layerOf, tar } from './tar-builder.ts'

const all = mkdtempSync(join(tmpdir(), 'lw-threads-'))
let folder: string
let count = 0
beforeEach(() => {
  folder = join(all, String(count++))
  mkdirSync(folder)
})
afterAll(() => removeTree(all))

const options = { keepOwners: false, alone: true }
const big = Buffer.alloc(3_000_000, 'abcdefg')
const bytes = tar(dir('d'), file('d/big', big), { name: 'dev', type: '3', mode: 0o600 })

describe('makeUnpackPool()', () => {
  test('unpacks layers one after the other on a thread, in many chunks, with what is to be told', async () => {
    const { pool, started } = poolOf(1)
    const notes: string[] = []
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, name))
      const layer = inChunks(layerOf(bytes, gzipSync(bytes)), 100)
      const result = await pool.unpack(join(folder, name), layer, { ...options, note: (text) => notes.push(text) })
      expect(result).toEqual({ entries: 3, sizeBytes: big.length, deletesIn: [] })
      expect(readFileSync(join(folder, name, 'd/big')).equals(big)).toBe(true)
    }
    expect(started()).toBe(1)
    expect(notes).toEqual(Array.from({ length: 2 }, () => '1 device nodes of a layer were left out'))
    await pool.close()
  })

  test('unpacks side by side', async () => {
    const { pool, started } = poolOf(3)
    const layer = layerOf(bytes)
    const names = ['a', 'b', 'c']
    for (const name of names) mkdirSync(join(folder, name))
    await Promise.all(names.map((name) => pool.unpack(join(folder, name), layer, options)))
    expect(started()).toBe(3)
    await pool.close()
  })

  test('tells refusals as they are, and goes on with another thread', async () => {
    const { pool, closed } = poolOf(1)
    const wrong = { ...layerOf(bytes), diffId: digest(Buffer.from('x')) }
    await expect(pool.unpack(folder, wrong, options)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      data: { expected: wrong.diffId },
    })
    const orphan = layerOf(tar(file('etc/c', 'no parent')))
    await expect(pool.unpack(folder, orphan, options)).rejects.toThrow(DependentLayerError)
    expect(closed()).toBe(2)
    mkdirSync(join(folder, 'again'))
    await pool.unpack(join(folder, 'again'), layerOf(bytes), options)
    await pool.close()
  })

  test('an error of the source is the error', async () => {
    const { pool } = poolOf(1)
    const failing = {
      ...layerOf(bytes),
      open: async function* () {
        yield bytes.subarray(0, 1000)
        throw new BuildError('NETWORK_FAILED', 'cut off')
      },
    }
    await expect(pool.unpack(folder, failing, options)).rejects.toMatchObject({ code: 'NETWORK_FAILED' })
  })

  test('an abort ends it, however long the thread would take', async () => {
    const { pool, closed } = poolOf(1)
    const abort = new AbortController()
    const endless = {
      ...layerOf(bytes),
      open: async function* () {
        yield bytes.subarray(0, 1000)
        abort.abort(new BuildError('INTERRUPTED', 'stop'))
        await new Promise(() => {})
      },
    }
    // The source never ends, so nothing but the signal can.
    const { open } = endless
    const source = { ...endless, open: () => withoutReturn(open()) }
    await expect(pool.unpack(folder, source, { ...options, signal: abort.signal })).rejects.toMatchObject({
      code: 'INTERRUPTED',
    })
    expect(closed()).toBe(1)
  })

  test('sources that were not built have no threads', () => {
    expect(makeUnpackPool()).toBeUndefined()
  })
})

/** A pool whose threads are the other ends of message channels. */
function poolOf(size: number): { pool: UnpackPool; started: () => number; closed: () => number } {
  let started = 0
  let closed = 0
  const start = (): UnpackThread => {
    started++
    const { port1, port2 } = new MessageChannel()
    serveUnpacking(port2)
    return {
      send: (request) => port1.postMessage(request),
      online: Promise.resolve(),
      onAnswer: (listener) => void port1.on('message', listener),
      onEnd: (listener) => void port1.on('close', () => listener(undefined)),
      hold: (isBusy) => (isBusy ? port1.ref() : port1.unref()),
      close: async () => {
        closed++
        port1.close()
      },
    }
  }
  const pool = makeUnpackPool({ size, start })
  if (pool === undefined) throw new TypeError('no pool')
  return { pool, started: () => started, closed: () => closed }
}

function inChunks(layer: Layer, size: number): Layer {
  return {
    ...layer,
    open: async function* () {
      for await (const chunk of layer.open())
        for (let at = 0; at < chunk.length; at += size) yield chunk.subarray(at, at + size)
    },
  }
}

/** An iterator that cannot be told to end, as a read that hangs. */
function withoutReturn(source: AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) }
}
