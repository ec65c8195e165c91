import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseReference } from '../../registry/reference.ts'
import type { PushedStream, StreamedBlob } from '../../registry/stream-upload.ts'
import type { Open } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { BuildError } from '../../src/core/errors.ts'
import {
  sha256,
  startFaultRegistry,
  type Fault,
  type FaultRegistry,
  type Misbehaviour,
} from '../support/fault-registry.ts'
import { quickRegistries } from '../support/registries.ts'

const KIB = 1024
const BYTES = Buffer.from(Array.from({ length: 900 * KIB }, (_, index) => (index * 7 + (index >> 9)) & 255))

let registry: FaultRegistry
beforeEach(async () => void (registry = await startFaultRegistry()))
afterEach(() => registry.close())

/** Offsets at which a source was opened. */
let openings: number[] = []
beforeEach(() => void (openings = []))

const source: Open = async function* ({ offset = 0 } = {}) {
  openings.push(offset)
  for (let at = offset; at < BYTES.length; at += 32 * KIB)
    yield BYTES.subarray(at, Math.min(at + 32 * KIB, BYTES.length))
}

function push(stream: PushedStream, patienceMs?: number): Promise<StreamedBlob> {
  const { registries } = quickRegistries({ network: { patienceMs } })
  const client = registries.client(parseReference(`${registry.host}/app:v1`), { actions: 'push' })
  return client.pushStream(stream)
}

const WHOLE = { digest: digestOf(BYTES), size: BYTES.length }
const stored = (): Buffer | undefined => registry.blobs.get('app')?.get(sha256(BYTES))

test('pushStream() sends POST, one PATCH and a PUT, and tells digest and size', async () => {
  expect(await push({ open: source })).toEqual(WHOLE)
  expect(registry.kinds()).toEqual(['start-upload', 'patch-upload', 'put-upload'])
  expect(registry.requests[1]?.headers['transfer-encoding']).toBe('chunked')
  expect(stored()?.equals(BYTES)).toBe(true)
  expect(openings).toEqual([0])
})

test('pushStream() believes who hashes the stream on its way, and notices when that was another one', async () => {
  expect(await push({ open: source, made: () => WHOLE })).toEqual(WHOLE)
  expect(stored()?.equals(BYTES)).toBe(true)
  await expect(push({ open: source, made: () => ({ ...WHOLE, size: 1 }) })).rejects.toMatchObject({
    code: 'SIZE_MISMATCH',
  })
})

test('pushStream() says the length when it is known', async () => {
  expect(await push({ open: source, sizeBytes: BYTES.length })).toEqual(WHOLE)
  expect(registry.requests[1]?.headers['content-length']).toBe(String(BYTES.length))
})

test('pushStream() tells how many bytes were handed over', async () => {
  const { registries } = quickRegistries()
  const client = registries.client(parseReference(`${registry.host}/app:v1`), { actions: 'push' })
  const told: number[] = []
  await client.pushStream({ open: source }, { onBytes: (bytes) => told.push(bytes) })
  expect(told.at(-1)).toBe(BYTES.length)
})

test('pushStream() of nothing makes the empty blob', async () => {
  const open: Open = async function* () {}
  expect(await push({ open })).toEqual({ digest: digestOf(''), size: 0 })
  expect(registry.blobs.get('app')?.has(digestOf(''))).toBe(true)
})

describe('pushStream() survives', () => {
  const onPatch = (behaviour: Misbehaviour, more: Partial<Fault> = {}): Fault => ({
    on: 'patch-upload',
    do: behaviour,
    ...more,
  })

  test('a cut, and goes on where the registry stands', async () => {
    registry.fail(onPatch({ kind: 'cut', afterBytes: 200 * KIB }))
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
    expect(openings).toEqual([0, 200 * KIB])
  })

  test('many cuts, as long as something arrives each time', async () => {
    registry.fail(onPatch({ kind: 'cut', afterBytes: 100 * KIB }, { times: 8 }))
    expect(await push({ open: source, sizeBytes: BYTES.length })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
  })

  test('a stall', async () => {
    registry.fail(onPatch({ kind: 'stall' }))
    expect(await push({ open: source }, 200)).toEqual(WHOLE)
  })

  test.each([408, 429, 500, 503])('a %i to its bytes', async (status) => {
    registry.fail(onPatch({ kind: 'status', status }, { times: 2 }))
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
  })

  test('an upload that the registry forgot', async () => {
    registry.fail(onPatch({ kind: 'forget-upload' }))
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(openings).toEqual([0, 0])
  })

  test('a lost acknowledgement of its bytes', async () => {
    registry.fail(onPatch({ kind: 'lost-ack' }))
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
  })

  test('a lost acknowledgement of its end', async () => {
    registry.fail({ on: 'put-upload', do: { kind: 'lost-ack' } })
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(openings).toEqual([0])
  })

  test('an upload that is forgotten before its end', async () => {
    registry.fail({ on: 'put-upload', do: { kind: 'forget-upload' } })
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
  })

  test('a token that expires meanwhile', async () => {
    await registry.close()
    registry = await startFaultRegistry({ protection: { kind: 'bearer', uses: 1 } })
    expect(await push({ open: source })).toEqual(WHOLE)
  })

  test.each([411, 413, 416])('a %i to a whole PATCH, by chunks with a length', async (status) => {
    const refuses: Fault = onPatch(
      { kind: 'status', status },
      {
        times: Infinity,
        when: ({ headers }) => headers['content-length'] === undefined,
      },
    )
    registry.fail(refuses)
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
    expect(registry.requests.at(-2)?.headers['content-range']).toBe(`0-${BYTES.length - 1}`)
  })

  test('a limit for chunks, by smaller ones', async () => {
    const when: Fault['when'] = ({ headers }) => !(Number(headers['content-length']) <= 300 * KIB)
    registry.fail(onPatch({ kind: 'status', status: 413 }, { times: Infinity, when }))
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
  })

  test('a cut between chunks', async () => {
    const headers = { 'oci-chunk-max-length': String(128 * KIB) }
    registry.fail({ on: 'start-upload', do: { kind: 'headers', set: headers }, times: Infinity })
    registry.fail(onPatch({ kind: 'reset' }, { after: 2 }))
    expect(await push({ open: source })).toEqual(WHOLE)
    expect(stored()?.equals(BYTES)).toBe(true)
  })
})

describe('pushStream() leaves nothing behind', () => {
  test('when the source fails: its error is thrown and the upload cancelled', async () => {
    const open: Open = async function* () {
      yield BYTES.subarray(0, 64 * KIB)
      throw new BuildError('NETWORK_FAILED', 'The wheel cannot be read')
    }
    await expect(push({ open })).rejects.toThrow('The wheel cannot be read')
    expect(registry.kinds()).toContain('delete-upload')
    expect(registry.openUploads()).toBe(0)
    expect(registry.blobs.get('app')).toBeUndefined()
  })

  test('when the source has another size than it said', async () => {
    await expect(push({ open: source, sizeBytes: BYTES.length + 1 })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
    expect(registry.openUploads()).toBe(0)
  })

  test('when the source is another one the second time', async () => {
    let count = 0
    const open: Open = async function* ({ offset = 0 } = {}) {
      const bytes = count++ === 0 ? BYTES : BYTES.subarray(0, 500 * KIB)
      for (let at = offset; at < bytes.length; at += 32 * KIB) yield bytes.subarray(at, at + 32 * KIB)
    }
    registry.fail(
      { on: 'patch-upload', do: { kind: 'lost-ack' } },
      { on: 'upload-status', do: { kind: 'status', status: 404 } },
    )
    await expect(push({ open })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
    expect(registry.blobs.get('app')).toBeUndefined()
  })

  test('when it may not write there', async () => {
    registry.fail({ on: 'patch-upload', do: { kind: 'status', status: 403 }, times: Infinity })
    await expect(push({ open: source })).rejects.toMatchObject({ code: 'REGISTRY_DENIED' })
    expect(openings).toEqual([0])
  })

  test('when the registry says it stored something else', async () => {
    registry.fail({ on: 'put-upload', do: { kind: 'headers', set: { 'docker-content-digest': digestOf('other') } } })
    await expect(push({ open: source })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})
