import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ANNOTATION, digestHex, OCI, type Digest } from 'oci-spec-types'
import { indexSchema } from 'oci-spec-types/schemas'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { serveRegistry, type ServedRegistry } from '../../../registry/server/serve.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { pushBlob, pushImage } from './push.ts'

let folder: string
let registry: ServedRegistry | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-registry-'))
})
afterEach(async () => {
  await registry?.close(0)
  registry = undefined
  await rm(folder, { recursive: true })
})

const serve = async (): Promise<string> => {
  registry = await serveRegistry({ storage: { kind: 'directory', path: folder } })
  return registry.url
}
const blobPath = (name: string, digest: Digest): string => join(folder, name, 'blobs/sha256', digestHex(digest))

describe('directoryStorage()', () => {
  it('keeps each repository as an OCI image layout', async () => {
    const { digest, text } = await pushImage(await serve(), 'team/model', 'v1')
    expect(JSON.parse(await readFile(join(folder, 'team/model/oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    })
    const index = indexSchema.parse(JSON.parse(await readFile(join(folder, 'team/model/index.json'), 'utf8')))
    expect(index.manifests).toEqual([
      { mediaType: OCI.manifest, digest, size: text.length, annotations: { [ANNOTATION.refName]: 'v1' } },
    ])
    expect(await readFile(blobPath('team/model', digest), 'utf8')).toBe(text)
  })

  it('holds a blob of two repositories once, whether it was mounted or sent twice', async () => {
    const base = await serve()
    const { digest } = await pushBlob(base, 'one', 'shared')
    await pushBlob(base, 'two', 'shared')
    await fetch(`${base}/v2/three/blobs/uploads/?mount=${digest}&from=one`, { method: 'POST' })
    const found = await Promise.all(['one', 'two', 'three'].map((name) => stat(blobPath(name, digest))))
    expect(new Set(found.map(({ ino }) => ino)).size).toBe(1)
    expect(found[0]?.nlink).toBe(3)
  })

  it('goes on with an upload after a restart', async () => {
    const begun = await fetch(`${await serve()}/v2/a/blobs/uploads/`, { method: 'POST' })
    const path = begun.headers.get('location') ?? ''
    await fetch(`${registry?.url}${path}`, { method: 'PATCH', body: 'abc' })
    await registry?.close(0)
    const location = `${await serve()}${path}`
    expect((await fetch(location)).headers.get('range')).toBe('0-2')
    const rest = await fetch(location, { method: 'PATCH', body: 'def', headers: { 'content-range': '3-5' } })
    expect(rest.status).toBe(202)
    expect((await fetch(`${location}?digest=${digestOf('abcdef')}`, { method: 'PUT' })).status).toBe(201)
  })

  it('serves layouts that other programs wrote, with the images inside their indexes', async () => {
    const child = JSON.stringify({ schemaVersion: 2, mediaType: OCI.manifest, config: descriptor('{}'), layers: [] })
    const top = JSON.stringify({ schemaVersion: 2, mediaType: OCI.index, manifests: [descriptor(child)] })
    await writeLayout(
      'theirs',
      ['{}', child, top],
      [{ ...descriptor(top, OCI.index), annotations: { [ANNOTATION.refName]: 'latest' } }],
    )
    const base = await serve()
    expect(await (await fetch(`${base}/v2/theirs/manifests/latest`)).text()).toBe(top)
    expect(await (await fetch(`${base}/v2/theirs/manifests/${digestOf(child)}`)).text()).toBe(child)
    expect((await fetch(`${base}/v2/theirs/manifests/${digestOf('{}')}`)).status).toBe(404)
  })

  it('sees what another program adds while it serves, and keeps it', async () => {
    const base = await serve()
    const { digest, text } = await pushImage(base, 'a', 'ours')
    await writeLayout('a', [], [{ ...descriptor(text), digest, annotations: { [ANNOTATION.refName]: 'theirs' } }])
    expect((await fetch(`${base}/v2/a/manifests/theirs`)).status).toBe(200)
    await pushImage(base, 'a', 'later')
    expect(await (await fetch(`${base}/v2/a/tags/list`)).json()).toEqual({ name: 'a', tags: ['later', 'theirs'] })
  })

  it('reports a damaged index and goes on serving the rest', async () => {
    const errors: unknown[] = []
    await mkdir(join(folder, 'bad'))
    await writeFile(join(folder, 'bad/index.json'), '{')
    registry = await serveRegistry({
      storage: { kind: 'directory', path: folder },
      onError: (error) => errors.push(error),
    })
    expect((await fetch(`${registry.url}/v2/bad/tags/list`)).status).toBe(500)
    expect(errors).toMatchObject([{ code: 'FILE_UNREADABLE' }])
    await pushImage(registry.url, 'good', 'v1')
  })

  it('breaks the connection and reports it when the disk fails in the middle of a download', async () => {
    const errors: unknown[] = []
    const digest = digestOf('unreadable')
    // A folder can be opened like a file, and not be read.
    await mkdir(blobPath('a', digest), { recursive: true })
    registry = await serveRegistry({
      storage: { kind: 'directory', path: folder },
      onError: (error) => errors.push(error),
    })
    const url = `${registry.url}/v2/a/blobs/${digest}`
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow()
    expect(errors).toMatchObject([{ code: 'EISDIR' }])
  })

  it('throws away uploads and temporary files that a day has not touched', async () => {
    await (await fetch(`${await serve()}/v2/a/blobs/uploads/`, { method: 'POST' })).text()
    await registry?.close(0)
    await writeFile(join(folder, '.uploads/.tmp-1-abc'), 'left by a crash')
    for (const entry of await readdir(join(folder, '.uploads'))) await utimes(join(folder, '.uploads', entry), 1, 1)
    await writeFile(join(folder, '.uploads/fresh'), '')
    await serve()
    expect(await readdir(join(folder, '.uploads'))).toEqual(['fresh'])
  })

  it('lets one living process at a time serve a folder', async () => {
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    try {
      await writeFile(join(folder, '.lock'), `${other.pid}\n`)
      await expect(serve()).rejects.toMatchObject({
        code: 'FILE_UNWRITABLE',
        hint: expect.stringContaining(String(other.pid)),
      })
    } finally {
      other.kill()
      await once(other, 'exit')
    }
    await serve()
    await registry?.close(0)
    expect(await readdir(folder)).not.toContain('.lock')
  })
})

function descriptor(text: string, mediaType: string = OCI.manifest) {
  return { mediaType, digest: digestOf(text), size: text.length }
}

async function writeLayout(name: string, blobs: readonly string[], manifests: readonly object[]): Promise<void> {
  for (const blob of blobs) {
    const path = blobPath(name, digestOf(blob))
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, blob)
  }
  await writeFile(join(folder, name, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
}
