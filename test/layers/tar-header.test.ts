import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeTarHeader, TAR_END, tarPadding, type TarHeader } from '../../layers/tar-header.ts'
import { readMembers } from '../support/layer-bytes.ts'

const base = { type: 'file', path: 'a', mode: 0o644, mtimeSeconds: 1 } as const

async function roundTrip(header: TarHeader): Promise<Awaited<ReturnType<typeof readMembers>>[number] | undefined> {
  const [member] = await readMembers(Buffer.concat([encodeTarHeader(header), TAR_END]))
  return member
}

describe('encodeTarHeader()', () => {
  test('writes one block where ustar says it all', () => {
    expect(encodeTarHeader(base)).toHaveLength(512)
    expect(encodeTarHeader({ ...base, path: `${'d'.repeat(150)}/${'f'.repeat(100)}` })).toHaveLength(512)
  })

  test.each([
    ['a long name', { path: 'x'.repeat(101) }],
    ['a long path without a place to split', { path: `a/${'x'.repeat(120)}` }],
    ['a path of 300 bytes', { path: `${'d'.repeat(160)}/${'f'.repeat(139)}` }],
    ['a name that is not ASCII', { path: 'é☺' }],
    ['a large user id', { uid: 0o10000000 }],
    ['a large group id', { gid: 4294967294 }],
  ] satisfies [string, Partial<TarHeader>][])('writes a PAX header for %s', async (_, change) => {
    const header = { ...base, ...change }
    expect(encodeTarHeader(header).length).toBeGreaterThan(512)
    expect(await roundTrip(header)).toMatchObject({
      name: header.path,
      uid: 'uid' in header ? header.uid : 0,
      gid: 'gid' in header ? header.gid : 0,
    })
  })

  test('writes a PAX size from 8 GiB on', () => {
    const largest = 8 * 2 ** 30 - 1
    expect(encodeTarHeader({ ...base, sizeBytes: largest })).toHaveLength(512)
    const header = encodeTarHeader({ ...base, sizeBytes: largest + 1 })
    expect(header.toString('latin1')).toContain('19 size=8589934592\n')
  })

  test('ends a directory with a slash, also one that needs PAX', async () => {
    for (const path of ['d', 'd'.repeat(120)])
      expect(await roundTrip({ ...base, type: 'directory', path })).toMatchObject({
        type: 'directory',
        name: `${path}/`,
      })
  })

  test.each(['t', 't'.repeat(101), 'é'])('keeps the target of a link: %s', async (target) => {
    expect(await roundTrip({ ...base, type: 'symlink', target })).toMatchObject({ type: 'symlink', target })
    expect(await roundTrip({ ...base, type: 'hardlink', target })).toMatchObject({ type: 'link', target })
  })

  test.each([-1, 1.5, Number.NaN, 1e20])('refuses the time %s', (mtimeSeconds) => {
    expect(() => encodeTarHeader({ ...base, mtimeSeconds })).toThrow(RangeError)
  })

  test('is read back as it was written', async () => {
    const part = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).map((text) => text.replace(/[/\0]/g, '_'))
    const path = fc.array(part, { minLength: 1, maxLength: 12 }).map((parts) => parts.join('/'))
    await fc.assert(
      fc.asyncProperty(path, fc.nat(0o777), fc.nat(2 ** 31), async (path, mode, mtimeSeconds) => {
        expect(await roundTrip({ ...base, path, mode, mtimeSeconds })).toMatchObject({ name: path, mode, mtimeSeconds })
      }),
    )
  })
})

test.each([
  [0, 0],
  [1, 511],
  [511, 1],
  [512, 0],
  [513, 511],
])('tarPadding(%i) is %i', (sizeBytes, expected) => {
  expect(tarPadding(sizeBytes)).toBe(expected)
})
