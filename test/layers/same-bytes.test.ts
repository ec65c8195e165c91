import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Compression } from '../../layers/compress.ts'
import type { LayerContext } from '../../layers/context.ts'
import { writeTar } from '../../layers/files.ts'
import { makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { makeCheckPool, type CheckPool } from '../../layers/workers/pool.ts'
import { collect, copied, openBytes } from '../../src/core/bytes.ts'
import { silent } from '../../src/core/progress.ts'
import { channelThread } from '../support/check-thread.ts'
import { makeDeb } from '../support/debian-package.ts'
import { makeElf } from '../support/elf.ts'
import { randomAccess } from '../support/random-access.ts'

// Another digest here makes images new everywhere. It must be meant, and say itself in a key: `DEFLATE_NAME`, `ZSTD_NAME` or
// `LAYOUT_VERSION` (`REGISTRATION_VERSION` for what registers packages). The gate runs this on two versions of Node, whose zlibs differ.

const DIGESTS: Readonly<Record<string, Readonly<Record<Compression, string>>>> = {
  files: { gzip: '3b59f254d8b3b302', zstd: '260925c8ab1f2deb', none: 'eb6a545f94718cee' },
  inline: { gzip: 'caf00d581758206b', zstd: 'e614c0080165d717', none: 'eef922e306e703c9' },
  environment: { gzip: '5530e09e6853d68e', zstd: 'f1db73001cdf6611', none: '4c7990956c22a4d7' },
  weights: { gzip: 'aa1eb1b8f054c787', zstd: '8c46eadc99725dd1', none: '103d1734f619d805' },
  'weight-set': { gzip: '1a1114a88303822c', zstd: 'fc9f18ff763f91f5', none: '9f7b94a8b3a83ad9' },
  archive: { gzip: '43760a87aabbc38f', zstd: '14b6a165bead26f2', none: '036dca30efd95990' },
  debs: { gzip: 'fc3e291124451bf0', zstd: 'd67d5778032da160', none: '51b9b461101ae0db' },
  'debian-registration': { gzip: '8f606b878fb2ff7a', zstd: '3f09d7bd3a9dc298', none: '2b7a4ed63fdc71dd' },
}

let folder: string
let checks: CheckPool
const remote = new Map<string, Buffer>()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'same-bytes-'))
  checks = makeCheckPool({ start: () => channelThread() }) ?? expect.unreachable()
})
afterAll(async () => {
  await checks.close()
  await rm(folder, { recursive: true })
})

/** Text that repeats itself now and then, the same on every machine. */
function prose(length: number): Buffer {
  const words = ['self', 'return', 'def', 'import', 'None', '(', '):\n    ', 'tensor', 'if', ' = ', 'x', '\n']
  let state = 7
  let text = ''
  while (text.length < length) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    text += `${words[(state >>> 16) % words.length]}${(state >>> 8) % 5 === 0 ? state : ' '}`
  }
  return Buffer.from(text.slice(0, length))
}

function keep(content: Buffer): { readonly sha256: string; readonly sizeBytes: number } {
  const sha256 = createHash('sha256').update(content).digest('hex')
  remote.set(sha256, content)
  return { sha256, sizeBytes: content.length }
}

async function projectFile(
  path: string,
  content: Buffer,
): Promise<{ path: string; mode: number } & ReturnType<typeof keep>> {
  await writeFile(join(folder, path), content)
  return { path, mode: 0o644, ...keep(content) }
}

const specs: Readonly<Record<string, () => Promise<LayerSpec>>> = {
  files: async () => ({
    kind: 'files',
    root: '.',
    target: '/src',
    files: [await projectFile('empty', Buffer.alloc(0)), await projectFile('run.py', prose(200_000))],
  }),
  inline: async () => ({ kind: 'inline', label: 'launcher', files: [{ path: 'etc/a', text: String(prose(5000)) }] }),
  environment: async () => ({
    kind: 'environment',
    prefix: 'opt/venv',
    python: '3.11',
    interpreter: '/usr/bin/python3.11',
    pythonVersion: '3.11.2',
    requested: [],
  }),
  weights: async () => ({
    kind: 'weights',
    root: '.',
    target: '/src',
    files: [await projectFile('model.json', prose(900_000))],
  }),
  'weight-set': async () => ({
    kind: 'weight-set',
    files: [{ path: 'weights/a.json', url: 'https://example.org/a.json', ...keep(prose(700_000)) }],
  }),
  archive: async () => {
    const text = prose(400_000)
    const entry = {
      kind: 'file',
      path: 'python/lib/a.py',
      mode: 0o644,
      sizeBytes: text.length,
      open: openBytes(text),
    } as const
    const archive = keep(gzipSync(await collect(writeTar([entry]), 1 << 30)))
    const url = 'https://example.org/python.tar.gz'
    return { kind: 'archive', label: 'Python', archive: { url, ...archive }, target: 'opt/python', strip: 1 }
  },
  debs: async () => {
    const deb = keep(makeDeb({ package: 'a', members: [{ name: 'usr/lib/a.py', content: String(prose(300_000)) }] }))
    const source = { package: 'a', version: '1', architecture: 'amd64', url: 'https://example.org/a.deb', ...deb }
    return { kind: 'debs', debs: [source], leaveOut: 'nothing' }
  },
  'debian-registration': async () => {
    const members = [
      { name: 'usr/lib/x86_64-linux-gnu/liba.so.1', content: makeElf({ soname: 'liba.so.1' }) },
      { name: 'usr/bin/editor.a', content: 'a' },
    ]
    const deb = keep(makeDeb({ package: 'a', members }))
    const source = { package: 'a', version: '1', architecture: 'amd64', url: 'https://example.org/a.deb', ...deb }
    return { kind: 'debian-registration', architecture: 'amd64', debs: [source] }
  },
}

async function digestOf(
  spec: LayerSpec,
  compression: Compression,
  change: Partial<LayerContext> = {},
): Promise<string> {
  const context: LayerContext = {
    openRemote: async ({ sha256 }) => randomAccess(remote.get(sha256) ?? expect.unreachable()),
    projectFolder: folder,
    report: silent,
    compression,
    ...change,
  }
  const { blob } = await makeLayerStream(spec, context)
  return createHash('sha256')
    .update(await collect(copied(blob), 1 << 30))
    .digest('hex')
    .slice(0, 16)
}

describe('a layer has the same bytes on every Node and machine', () => {
  test.each(Object.keys(specs))('%s', async (kind) => {
    const spec = (await specs[kind]?.()) ?? expect.unreachable()
    const digests = {
      gzip: await digestOf(spec, 'gzip'),
      zstd: await digestOf(spec, 'zstd'),
      none: await digestOf(spec, 'none'),
    }
    expect(await digestOf(spec, 'gzip', { checks })).toBe(digests.gzip)
    expect(digests).toEqual(DIGESTS[kind])
  })
})
