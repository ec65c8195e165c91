import { array, assert, constant, constantFrom, nat, oneof, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextNumber, nextRelease, readHistory, settleHistory } from '../../src/versions/history.ts'
import { LONGEST_RELEASED_TAG, makeRelease, parseRecord, prefixOf } from '../../src/versions/release.ts'
import { digestOf } from '../../src/core/digest.ts'
import { isTag } from '../../registry/reference.ts'

const START = Date.parse('2026-11-26T17:30:00Z') / 1000
const digest = (name: string): ReturnType<typeof digestOf> => digestOf(name)
const NAMES = ['a', 'b', 'c', 'd', 'e']
const nameOf = (prefix: string): string => NAMES.find((name) => prefixOf(digest(name)) === prefix) ?? '?'

/** Promotes (`a`, `b`, ...) and goes back (`<`, or `<2` to a number), all within one second; gives the way back by names. */
function play(...moves: readonly string[]): readonly string[] {
  // A registry lists them in any order.
  return readHistory('stable', recordsAfter(moves).toReversed()).releases.map(({ prefix }) => nameOf(prefix))
}

/** Records as the moves make them, oldest first. */
function recordsAfter(moves: readonly string[], before: readonly string[] = []): readonly string[] {
  let records = before
  for (const move of moves) {
    const history = readHistory('stable', records)
    const { releases } = history
    const target = move === '<' ? releases.at(-2) : releases[Number(move.slice(1)) - 1]
    if (move.startsWith('<') && target === undefined) continue
    const release =
      move.startsWith('<') && target !== undefined
        ? nextRelease(history, target.number, digest(nameOf(target.prefix)), START)
        : nextRelease(history, nextNumber(releases), digest(move), START)
    records = [...records, release.record]
  }
  return records
}

describe('readHistory()', () => {
  test.each([
    [['a', 'b', 'c'], 'abc'],
    [['a', 'b', 'c', '<'], 'ab'],
    [['a', 'b', 'c', '<', '<'], 'a'],
    // What was rolled back from is not gone back to.
    [['a', 'b', 'c', '<', 'd'], 'abd'],
    [['a', 'b', 'c', '<', 'd', '<'], 'ab'],
    [['a', 'b', 'c', '<', 'c'], 'abc'],
    [['a', 'b', 'a'], 'aba'],
    [['a', 'b', 'a', 'c', '<3'], 'aba'],
    [['a', 'b', 'a', 'c', '<1'], 'a'],
    [['a', 'b', 'c', 'd', '<2', 'd', '<'], 'ab'],
  ])('%j leaves the way back %s', (moves, way) => {
    expect(play(...moves).join('')).toBe(way)
  })

  test('numbers the way back from 1 and leaves other tags, and records of other tags, alone', () => {
    const records = ['a', 'b'].map((name, at) => makeRelease('stable', at + 1, START + at, digest(name)).record)
    const others = ['v1', 'stable', 'stable.v2', makeRelease('canary', 1, START, digest('c')).record]
    const { releases, lastSeconds } = readHistory('stable', [...others, ...records])
    expect(releases.map(({ number }) => number)).toEqual([1, 2])
    expect(lastSeconds).toBe(START + 1)
  })

  test('keeps both of two that released at the same time', () => {
    const records = [
      makeRelease('stable', 1, START, digest('a')),
      makeRelease('stable', 2, START + 5, digest('b')),
      makeRelease('stable', 2, START + 6, digest('c')),
    ].map(({ record }) => record)
    expect(readHistory('stable', records).releases.map(({ prefix }) => nameOf(prefix))).toEqual(['a', 'b', 'c'])
  })

  test('whatever is promoted and rolled back, the way back is a stack', () => {
    const move = oneof(constantFrom(...NAMES), constant('<'))
    assert(
      property(array(move, { maxLength: 30 }), (moves) => {
        const stack: string[] = []
        const done = moves.filter((one) => {
          if (one !== '<') return stack.at(-1) !== one && stack.push(one)
          return stack.length > 1 && stack.pop() !== undefined
        })
        expect(play(...done)).toEqual(stack)
      }),
    )
  })

  test('the newest records say the same of their releases, by the same numbers, whatever of the others is left', () => {
    const moves = array(oneof(constantFrom(...NAMES), constant('<'), constantFrom('<1', '<2', '<3')), { maxLength: 20 })
    assert(
      property(moves, nat(20), moves, (first, cut, then) => {
        const before = recordsAfter(['a', ...first])
        const left = before.slice(Math.min(cut, before.length - 1))
        const whole = readHistory('stable', before).releases
        expect(readHistory('stable', left).releases).toEqual(whole.filter(({ record }) => left.includes(record)))
        // And what is done by whoever sees only them goes on from there.
        const after = recordsAfter(then, left).slice(left.length)
        const known = readHistory('stable', [...before, ...after]).releases
        const kept = [...left, ...after]
        expect(readHistory('stable', kept).releases).toEqual(known.filter(({ record }) => kept.includes(record)))
      }),
    )
  })
})

test('settleHistory() finds what a push gave the tag to, and nothing where the record says it', () => {
  const first = makeRelease('stable', 1, START, digest('a'))
  const history = readHistory('stable', [first.record])
  expect(settleHistory(history, digest('a'), START + 9).unrecorded).toBeUndefined()
  expect(settleHistory(history, undefined, START + 9).unrecorded).toBeUndefined()
  const settled = settleHistory(history, digest('b'), START + 9)
  expect(settled.unrecorded).toMatchObject({ number: 2, seconds: START + 9, prefix: prefixOf(digest('b')) })
  expect(settled.history.releases.map(({ prefix }) => nameOf(prefix))).toEqual(['a', 'b'])
})

test('nextRelease() goes on where the clock of another machine was ahead', () => {
  const history = readHistory('stable', [makeRelease('stable', 1, START + 3600, digest('a')).record])
  expect(nextRelease(history, 2, digest('b'), START).seconds).toBe(START + 3601)
})

test('parseRecord() reads what makeRelease() made, and nothing else', () => {
  const release = makeRelease('v1.2_x', 12, START, digest('a'))
  expect(release.record).toBe(`v1.2_x.20261126T173000Z.12.${prefixOf(digest('a'))}`)
  expect(parseRecord(release.record)).toEqual(release)
  for (const tag of [
    'stable',
    'stable.1',
    'stable.20261326T173000Z.1.0123456789ab',
    'stable.20261126T173000Z.0.0123456789ab',
  ])
    expect(parseRecord(tag)).toBeUndefined()
})

test('a record of the longest tag is a tag', () => {
  const { record } = makeRelease('t'.repeat(LONGEST_RELEASED_TAG), 100_000, START, digest('a'))
  expect(isTag(record)).toBe(true)
  expect(record).toHaveLength(128)
})
