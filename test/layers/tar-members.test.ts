import { pack } from 'tar-stream'
import { expect, test } from 'vitest'
import { encodeTarHeader, TAR_END } from '../../layers/tar-header.ts'
import { TarGuard } from '../../layers/tar-guard.ts'
import { readTarHead, tarId, type TarMemberHead } from '../../layers/tar-members.ts'
import { readTar } from '../../layers/tar.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'

function heads(tar: Buffer, step: number): TarMemberHead[] {
  const members: TarMemberHead[] = []
  const guard = new TarGuard('a tar', (head) => members.push(readTarHead(head)))
  for (let at = 0; at < tar.length; at += step) guard.push(tar.subarray(at, at + step))
  guard.end()
  return members
}

async function read(tar: Buffer): Promise<TarMemberHead[]> {
  const members: TarMemberHead[] = []
  for await (const { data: _, ...member } of readTar(openBytes(tar)(), 'a tar')) members.push(member)
  return members
}

const mtimeSeconds = 315532800
const ours = Buffer.concat([
  encodeTarHeader({ type: 'directory', path: 'a', mode: 0o755, mtimeSeconds }),
  encodeTarHeader({ type: 'file', path: 'a/file', mode: 0o4644, sizeBytes: 600, mtimeSeconds }),
  Buffer.alloc(1024, 1),
  encodeTarHeader({ type: 'file', path: `${'long/'.repeat(40)}file`, mode: 0o644, sizeBytes: 0, mtimeSeconds }),
  encodeTarHeader({ type: 'file', path: `prefix/${'x'.repeat(95)}`, mode: 0o644, sizeBytes: 0, mtimeSeconds }),
  encodeTarHeader({ type: 'file', path: 'd\u00e4\u4e2d', mode: 0o600, uid: 3_000_000, gid: 5, mtimeSeconds: 0 }),
  encodeTarHeader({ type: 'symlink', path: 'link', mode: 0o777, target: 't'.repeat(150), mtimeSeconds }),
  encodeTarHeader({ type: 'hardlink', path: 'hard', mode: 0o644, target: 'a/file', mtimeSeconds }),
  TAR_END,
])

async function foreign(): Promise<Buffer> {
  const tar = pack()
  const mtime = new Date(1_700_000_000_000)
  tar.entry({ name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3, mtime })
  tar.entry({ name: 'pipe', type: 'fifo', mtime })
  tar.entry({ name: 'n'.repeat(120), mtime, pax: { 'SCHILY.xattr.user.x': 'y' } }, 'content')
  tar.finalize()
  return collect(tar as AsyncIterable<Uint8Array>, 2 ** 20)
}

test.each([
  ['ours', async () => ours],
  ["somebody else's", foreign],
])('readTarHead() says what readTar() says of a tar of %s, in whatever pieces it comes', async (_, make) => {
  const tar = await make()
  const expected = await read(tar)
  expect(expected.length).toBeGreaterThan(2)
  for (const step of [1, 511, 700, tar.length]) expect(heads(tar, step)).toEqual(expected)
})

test('readTarHead() knows long names of GNU tar, and folders of old ones', () => {
  const long = (type: string, text: string): Buffer => {
    const block = encodeTarHeader({
      type: 'file',
      path: '././@LongLink',
      mode: 0o644,
      sizeBytes: text.length,
      mtimeSeconds,
    })
    return Buffer.concat([retyped(block, type), Buffer.from(text.padEnd(512, '\0'))])
  }
  const name = 'n'.repeat(200)
  const target = 't'.repeat(200)
  const link = encodeTarHeader({ type: 'symlink', path: 'short', mode: 0o777, target: 'short', mtimeSeconds })
  const old = encodeTarHeader({ type: 'directory', path: 'old', mode: 0o755, mtimeSeconds })
  const tar = Buffer.concat([long('L', name), long('K', target), link, retyped(old, '\0'), TAR_END])
  expect(heads(tar, 700).map((member) => [member.name, member.type, member.target])).toEqual([
    [name, 'symlink', target],
    ['old/', 'directory', undefined],
  ])
})

test('tarId() believes a record that is a number', () => {
  expect(['7', '', '-1', '1e3', undefined].map((pax) => tarId(pax, 1))).toEqual([7, 1, 1, 1, 1])
})

/** With another type, and the checksum that goes with it. */
function retyped(block: Buffer, type: string): Buffer {
  block.write(type, 156, 'latin1')
  block.write('        ', 148, 'latin1')
  const sum = block.reduce((all, byte) => all + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
