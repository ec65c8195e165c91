import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Outbox } from '../../layers/outbox.ts'

const PIECE = 1 << 18

/** Bytes that are told apart by where they stand. */
function content(from: number, length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, n) => ((from + n) * 2654435761) >>> 24))
}

const step = fc.oneof(
  fc.record({ add: fc.integer({ min: 0, max: 2 * PIECE + 5 }) }),
  fc.record({ take: fc.integer({ min: 0, max: PIECE + 5 }) }),
)

test('an outbox gives back what was put into it, in order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const outbox = new Outbox()
      let [added, taken] = [0, 0]
      const took = (bytes: Uint8Array): void => {
        expect(Buffer.compare(bytes, content(taken, bytes.length))).toBe(0)
        taken += bytes.length
      }
      for (const one of steps) {
        if ('add' in one) {
          outbox.add(content(added, one.add))
          added += one.add
        } else {
          const memory = Buffer.alloc(one.take)
          const waiting = added - taken
          const moved = outbox.takeInto(memory)
          expect(moved).toBe(Math.min(one.take, waiting))
          took(memory.subarray(0, moved))
        }
        expect(outbox.sizeBytes).toBe(added - taken)
      }
      for (const bytes of outbox.take()) took(bytes)
      expect(taken).toBe(added)
      expect(outbox.take()).toEqual([])
    }),
    { numRuns: 60 },
  )
})
