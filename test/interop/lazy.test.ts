import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Descriptor, Index, Manifest } from 'oci-spec-types'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { mustRun } from '../support/command.ts'
import { findTool, isInteropRequired } from '../support/tool.ts'

const exec = promisify(execFile)
const program = join(packageRoot(), 'bin', 'layerwright.mjs')
const go = await findTool('go')
const SOCI = 'application/vnd.amazon.soci.index.v2+json'

let folder = ''
let checker = ''
let root: Index
let image: Manifest
let list: Manifest

/** Without Go, a C compiler and zlib's headers the reference cannot be built. */
describe.skipIf(go === undefined && !isInteropRequired())('an image for lazy pulling', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lw-lazy-'))
    const cache = join(packageRoot(), '.cache', 'go')
    await mkdir(cache, { recursive: true })
    checker = join(cache, 'check-ztoc')
    // The reference: the snapshotter's own library (cgo, zlib).
    await exec(go ?? 'go', ['build', '-o', checker, '.'], { cwd: join(import.meta.dirname, 'lazy') })
    await mustRun(process.execPath, [
      program,
      'build',
      join(packageRoot(), 'examples/tabular'),
      '--platform',
      'linux/amd64',
      '--lazy',
      '-o',
      `oci:${join(folder, 'image')}`,
    ])
    const top = (await read<Index>('index.json')).manifests[0] ?? expect.unreachable()
    root = await readBlob<Index>(top)
    image = await readBlob<Manifest>(root.manifests[0])
    list = await readBlob<Manifest>(root.manifests[1])
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('has an index that names the image first, then the list of tables, and each names the other', () => {
    const [first, second, ...others] = root.manifests
    expect(others).toEqual([])
    expect(second).toMatchObject({ artifactType: SOCI, platform: first?.platform ?? {} })
    expect(image.annotations?.['com.amazon.soci.index-digest']).toBe(second?.digest)
    expect(second?.annotations?.['com.amazon.soci.image-manifest-digest']).toBe(first?.digest)
    // The reference tells versions apart by the configuration's type.
    expect(list.config.mediaType).toBe(SOCI)
  })

  test('has a table for every large layer, spliced ones and others', () => {
    const large = image.layers.filter(({ size }) => size >= 10 * 2 ** 20).map(({ digest }) => digest)
    expect(large.length).toBeGreaterThan(1)
    expect(list.layers.map(({ annotations }) => annotations?.['com.amazon.soci.image-layer-digest'])).toEqual(large)
  })

  test('has tables equal to those of the reference, which reads every file through them', async () => {
    for (const table of list.layers) {
      const layer = blobPath(table.annotations?.['com.amazon.soci.image-layer-digest'] ?? '')
      const { stdout } = await exec(checker, [layer, blobPath(table.digest)])
      expect(stdout).toMatch(/^[1-9]\d* files, [1-9]\d* spans\n$/)
    }
  })

  test('is taken by those who know nothing of it', async () => {
    const source = `oci:${join(folder, 'image')}`
    await mustRun('skopeo', ['copy', '-q', '--all', source, `oci:${join(folder, 'all')}`])
    await mustRun('skopeo', ['copy', '-q', '--override-arch', 'amd64', source, `oci:${join(folder, 'one')}`])
    await mustRun(process.execPath, [program, 'inspect', source])
  })
})

function blobPath(digest: string): string {
  return join(folder, 'image', 'blobs', digest.replace(':', '/'))
}

async function read<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(join(folder, 'image', path), 'utf8')) as T
}

async function readBlob<T>(descriptor: Descriptor | undefined): Promise<T> {
  return JSON.parse(await readFile(blobPath(descriptor?.digest ?? ''), 'utf8')) as T
}
