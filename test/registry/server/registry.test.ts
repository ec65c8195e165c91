import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI, type Digest, type Index, type TagList } from 'oci-spec-types'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { serveRegistry, type ServedRegistry, type ServeOptions } from '../../../registry/server/serve.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { faultCode, pushBlob, pushImage, putManifest } from './push.ts'

/** What every storage must do, seen through the API. */
describe.each(['memory', 'directory'] as const)('a registry in %s', (kind) => {
  let folder: string
  let registry: ServedRegistry
  let base: string
  const errors: unknown[] = []

  const start = async (options: Partial<ServeOptions> = {}): Promise<void> => {
    const storage = kind === 'memory' ? ({ kind } as const) : ({ kind, path: join(folder, 'store') } as const)
    registry = await serveRegistry({ storage, onError: (error) => errors.push(error), ...options })
    base = registry.url
  }
  const restart = async (options: Partial<ServeOptions>): Promise<void> => {
    await registry.close(0)
    await start(options)
  }
  const startUpload = async (name: string): Promise<string> => {
    const response = await fetch(`${base}/v2/${name}/blobs/uploads/`, { method: 'POST' })
    expect(response.status).toBe(202)
    return `${base}${response.headers.get('location')}`
  }
  const patch = (location: string, body: string | Buffer, range?: string): Promise<Response> =>
    fetch(location, {
      method: 'PATCH',
      body: typeof body === 'string' ? body : new Uint8Array(body),
      ...(range === undefined ? {} : { headers: { 'content-range': range } }),
    })
  const finish = (location: string, digest: Digest): Promise<Response> =>
    fetch(`${location}?digest=${digest}`, { method: 'PUT' })
  /** Sends the rest of an upload, as a client does that lost its connection. @returns where the rest began */
  const resume = async (location: string, content: Buffer): Promise<number> => {
    for (let response = await fetch(location), tries = 0; tries < 100; tries++) {
      const last = Number(response.headers.get('range')?.split('-')[1])
      // `0-0` is said of no byte and of one.
      const offset = last === 0 ? 0 : last + 1
      response = await patch(location, content.subarray(offset), `${offset}-${content.length - 1}`)
      if (response.status === 202) return offset
      // The last bytes of the broken connection came in meanwhile; the answer says how far it is now.
      expect(response.status).toBe(416)
    }
    throw new Error('The upload does not get any further')
  }
  const getText = async (path: string): Promise<string> => (await fetch(`${base}${path}`)).text()

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'layerwright-registry-'))
    errors.length = 0
    await start()
  })
  afterEach(async () => {
    await registry.close(0)
    await rm(folder, { recursive: true })
    expect(errors).toEqual([])
  })

  it('gives back an image by tag and by digest, byte for byte', async () => {
    const { text, digest, manifest } = await pushImage(base, 'team/model', 'v1')
    for (const reference of ['v1', digest]) {
      const response = await fetch(`${base}/v2/team/model/manifests/${reference}`)
      expect(response.headers.get('content-type')).toBe(OCI.manifest)
      expect(response.headers.get('docker-content-digest')).toBe(digest)
      expect(await response.text()).toBe(text)
    }
    expect(await getText(`/v2/team/model/blobs/${manifest.layers[0]?.digest}`)).toBe('layer of team/model:v1')
    expect(JSON.parse(await getText('/v2/_catalog'))).toEqual({ repositories: ['team/model'] })
  })

  it('answers 304 to a client that has the manifest', async () => {
    const { digest } = await pushImage(base, 'a', 'v1')
    const response = await fetch(`${base}/v2/a/manifests/v1`, { headers: { 'if-none-match': `"${digest}"` } })
    expect(response.status).toBe(304)
  })

  it('resumes an upload where a cut connection left it', async () => {
    // More than both ends of a connection buffer, so that the registry has read some when it is cut.
    const content = randomBytes(24 << 20)
    const location = await startUpload('a')
    const cut = httpRequest(location, { method: 'PATCH', headers: { 'content-length': content.length } })
    cut.on('error', () => {})
    const closed = new Promise((resolve) => cut.on('close', resolve))
    cut.write(content.subarray(0, 20 << 20), () => cut.destroy())
    await closed

    expect(await resume(location, content)).toBeGreaterThan(0)
    expect((await finish(location, digestOf(content))).status).toBe(201)
    const pulled = await fetch(`${base}/v2/a/blobs/${digestOf(content)}`)
    expect(Buffer.from(await pulled.arrayBuffer()).equals(content)).toBe(true)
  })

  it('lets a client that comes back take over from its own stuck request', async () => {
    const location = await startUpload('a')
    const headers = { 'content-length': 10, expect: '100-continue' }
    const stuck = httpRequest(location, { method: 'PATCH', headers })
    const broken = once(stuck, 'error')
    stuck.flushHeaders()
    // From here on the registry waits for the body.
    await once(stuck, 'continue')
    stuck.write('abc')
    await resume(location, Buffer.from('abcdef'))
    await broken
    expect((await finish(location, digestOf('abcdef'))).status).toBe(201)
  })

  it('refuses a chunk out of order and says where to go on', async () => {
    const location = await startUpload('a')
    await patch(location, 'abc', '0-2')
    const response = await patch(location, 'xyz', '5-7')
    expect(response.status).toBe(416)
    expect(response.headers.get('range')).toBe('0-2')
    expect(response.headers.get('location')).toBe(new URL(location).pathname)
    expect(await faultCode(response)).toBe('RANGE_INVALID')
  })

  it('announces and enforces a smallest chunk', async () => {
    await restart({ minChunkBytes: 4 })
    const response = await fetch(`${base}/v2/a/blobs/uploads/`, { method: 'POST' })
    expect(response.headers.get('oci-chunk-min-length')).toBe('4')
    const location = `${base}${response.headers.get('location')}`
    expect((await patch(location, 'abcd', '0-3')).status).toBe(202)
    expect((await patch(location, 'ef', '4-5')).status).toBe(202)
    const late = await patch(location, 'ghij', '6-9')
    expect([late.status, await faultCode(late)]).toEqual([400, 'SIZE_INVALID'])
    expect((await finish(location, digestOf('abcdef'))).status).toBe(201)
  })

  it('knows nothing of an upload that was finished or given up', async () => {
    const done = await startUpload('a')
    await patch(done, 'abc')
    await finish(done, digestOf('abc'))
    const given = await startUpload('a')
    expect((await fetch(given, { method: 'DELETE' })).status).toBe(204)
    for (const location of [
      done,
      given,
      `${base}/v2/a/blobs/uploads/nonsense`,
      (await startUpload('a')).replace('/a/', '/b/'),
    ]) {
      const response = await fetch(location)
      expect(response.status).toBe(404)
    }
  })

  it('stores nothing under a digest that the bytes do not have', async () => {
    const location = await startUpload('a')
    await patch(location, 'abc')
    const response = await finish(location, digestOf('other'))
    expect([response.status, await faultCode(response)]).toEqual([400, 'DIGEST_INVALID'])
    for (const text of ['abc', 'other']) expect((await fetch(`${base}/v2/a/blobs/${digestOf(text)}`)).status).toBe(404)
  })

  it('takes sha512 digests for blobs, manifests and tags', async () => {
    const digest = digestOf('{}', 'sha512')
    const location = await startUpload('a')
    await patch(location, '{}')
    expect((await finish(location, digest)).status).toBe(201)
    const config = { mediaType: OCI.empty, digest, size: 2 }
    const text = JSON.stringify({ schemaVersion: 2, mediaType: OCI.manifest, config, layers: [] })
    const reference = digestOf(text, 'sha512')
    const response = await putManifest(base, 'a', `${reference}?tag=one&tag=two`, text)
    expect([response.status, response.headers.get('oci-tag')]).toEqual([201, 'one, two'])
    const head = await fetch(`${base}/v2/a/manifests/two`, { method: 'HEAD' })
    expect(head.headers.get('docker-content-digest')).toBe(reference)
  })

  it('mounts a blob from a named repository or from any, and never from one that lacks it', async () => {
    const { digest } = await pushBlob(base, 'source', 'shared')
    const mount = (name: string, from: string): Promise<Response> =>
      fetch(`${base}/v2/${name}/blobs/uploads/?mount=${digest}${from}`, { method: 'POST' })
    expect((await mount('one', '&from=source')).status).toBe(201)
    expect((await mount('two', '')).status).toBe(201)
    expect((await mount('three', '&from=elsewhere')).status).toBe(202)
    expect((await mount('four', '&from=../source')).status).toBe(202)
    await fetch(`${base}/v2/source/blobs/${digest}`, { method: 'DELETE' })
    expect((await fetch(`${base}/v2/source/blobs/${digest}`)).status).toBe(404)
    expect(await getText(`/v2/one/blobs/${digest}`)).toBe('shared')
    expect(await getText(`/v2/two/blobs/${digest}`)).toBe('shared')
  })

  it('lists tags in order, in pages', async () => {
    for (const tag of ['b', 'B', 'a', 'c-1', 'c']) await pushImage(base, 'a', tag, { content: 'same' })
    const pages: string[][] = []
    for (let path: string | undefined = '/v2/a/tags/list?n=2'; path !== undefined;) {
      const response = await fetch(`${base}${path}`)
      pages.push(((await response.json()) as TagList).tags ?? [])
      path = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    }
    expect(pages).toEqual([['B', 'a'], ['b', 'c'], ['c-1']])
    expect(JSON.parse(await getText('/v2/a/tags/list?n=0'))).toEqual({ name: 'a', tags: [] })
    expect(JSON.parse(await getText('/v2/a/tags/list?last=b'))).toEqual({ name: 'a', tags: ['c', 'c-1'] })
    expect((await fetch(`${base}/v2/a/tags/list?n=x`)).status).toBe(400)
    expect((await fetch(`${base}/v2/nowhere/tags/list`)).status).toBe(404)
  })

  it('deletes a tag alone, and a manifest with its tags', async () => {
    const { digest } = await pushImage(base, 'a', 'one', { content: 'same' })
    await pushImage(base, 'a', 'two', { content: 'same' })
    const remove = async (reference: string): Promise<number> =>
      (await fetch(`${base}/v2/a/manifests/${reference}`, { method: 'DELETE' })).status
    const status = async (reference: string): Promise<number> =>
      (await fetch(`${base}/v2/a/manifests/${reference}`)).status
    expect(await remove('one')).toBe(202)
    expect(await Promise.all(['one', 'two', digest].map(status))).toEqual([404, 200, 200])
    expect(await remove(digest)).toBe(202)
    expect(await Promise.all(['two', digest].map(status))).toEqual([404, 404])
    expect(await remove(digest)).toBe(404)
  })

  it('lists referrers with type and annotations, filtered, also of a subject that is not there', async () => {
    const subject = { mediaType: OCI.manifest, digest: digestOf('not pushed yet'), size: 14 }
    const signature = await pushImage(base, 'a', 'sig', {
      subject,
      artifactType: 'application/x.signature',
      annotations: { by: 'us' },
    })
    await pushImage(base, 'a', 'sbom', { subject })
    await pushImage(base, 'a', 'unrelated')
    const list = async (query = ''): Promise<Index> =>
      JSON.parse(await getText(`/v2/a/referrers/${subject.digest}${query}`)) as Index
    expect((await list()).manifests.map(({ artifactType }) => artifactType ?? '').sort()).toEqual(
      [OCI.empty, 'application/x.signature'].sort(),
    )
    expect((await list('?artifactType=application/x.signature')).manifests).toEqual([
      {
        mediaType: OCI.manifest,
        digest: signature.digest,
        size: signature.text.length,
        artifactType: 'application/x.signature',
        annotations: { by: 'us' },
      },
    ])
    await fetch(`${base}/v2/a/manifests/${signature.digest}`, { method: 'DELETE' })
    expect((await list()).manifests).toHaveLength(1)
    expect(JSON.parse(await getText(`/v2/nowhere/referrers/${subject.digest}`))).toMatchObject({ manifests: [] })
  })

  it('pages referrers that would be larger than a manifest may be', async () => {
    const subject = { mediaType: OCI.manifest, digest: digestOf('subject'), size: 7 }
    const annotations = { big: 'x'.repeat(1_500_000) }
    for (const tag of ['1', '2', '3', '4']) await pushImage(base, 'a', tag, { subject, annotations, content: tag })
    const found: number[] = []
    for (let path: string | undefined = `/v2/a/referrers/${subject.digest}`; path !== undefined;) {
      const response = await fetch(`${base}${path}`)
      found.push(((await response.json()) as Index).manifests.length)
      path = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    }
    expect(found).toEqual([2, 2])
  })

  it('keeps every tag of many pushes at once', async () => {
    const tags = Array.from({ length: 40 }, (_, index) => `t${String(index).padStart(2, '0')}`)
    await Promise.all(tags.map((tag) => pushImage(base, 'a', tag)))
    expect(JSON.parse(await getText('/v2/a/tags/list'))).toEqual({ name: 'a', tags })
  })

  it('refuses manifests that cannot be right, and says why', async () => {
    const config = { ...(await pushBlob(base, 'a', '{}')), mediaType: OCI.empty }
    const valid = { schemaVersion: 2, mediaType: OCI.manifest, config, layers: [] }
    const absent = { mediaType: OCI.layer, digest: digestOf('absent'), size: 6 }
    const cases: [document: unknown, reference: string, status: number, code: string][] = [
      ['not json', 'v1', 400, 'MANIFEST_INVALID'],
      [{ ...valid, schemaVersion: 1 }, 'v1', 400, 'MANIFEST_INVALID'],
      [{ ...valid, config: undefined }, 'v1', 400, 'MANIFEST_INVALID'],
      [{ ...valid, mediaType: 'text/plain' }, 'v1', 400, 'MANIFEST_INVALID'],
      [{ ...valid, mediaType: 'application/vnd.docker.distribution.manifest.v1+json' }, 'v1', 400, 'MANIFEST_INVALID'],
      [{ ...valid, layers: [absent] }, 'v1', 404, 'MANIFEST_BLOB_UNKNOWN'],
      [{ ...valid, config: { ...config, size: 3 } }, 'v1', 400, 'MANIFEST_INVALID'],
      [{ schemaVersion: 2, mediaType: OCI.index, manifests: [absent] }, 'v1', 404, 'MANIFEST_BLOB_UNKNOWN'],
      [valid, digestOf('other'), 400, 'DIGEST_INVALID'],
      [valid, 'sha256:short', 400, 'DIGEST_INVALID'],
      [valid, '-v1', 400, 'TAG_INVALID'],
      [{ ...valid, annotations: { big: 'x'.repeat(4 * 1024 * 1024) } }, 'v1', 413, 'SIZE_INVALID'],
    ]
    for (const [document, reference, status, code] of cases) {
      const response = await putManifest(base, 'a', reference, document)
      expect([response.status, await faultCode(response)]).toEqual([status, code])
    }
    expect((await putManifest(base, 'a', 'v1', valid)).status).toBe(201)
    const foreign = { ...absent, mediaType: OCI.nondistributableLayerGzip }
    expect((await putManifest(base, 'a', 'v2', { ...valid, layers: [foreign] })).status).toBe(201)
    await restart({ allowMissing: true })
    await pushBlob(base, 'a', '{}')
    expect((await putManifest(base, 'a', 'v3', { ...valid, layers: [absent] })).status).toBe(201)
  })

  it.each([
    ['/v2/A/tags/list', 400, 'NAME_INVALID'],
    ['/v2/a/%2e%2e/b/tags/list', 400, 'NAME_INVALID'],
    ['/v2/a/..%2f..%2fetc/blobs/x', 400, 'NAME_INVALID'],
    ['/v2/a/blobs/b/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/%ff/tags/list', 400, 'NAME_INVALID'],
    ['/v2/a/blobs/sha256:..%2f..%2fetc', 404, 'UNSUPPORTED'],
    ['/v2/a/blobs/nonsense', 400, 'DIGEST_INVALID'],
    ['/v2/a/manifests/absent', 404, 'MANIFEST_UNKNOWN'],
    ['/elsewhere', 404, 'UNSUPPORTED'],
  ])('answers %s with %i %s', async (path, status, code) => {
    const raw = httpRequest(`${base}/`, { path })
    raw.end()
    const [response] = (await once(raw, 'response')) as [import('node:http').IncomingMessage]
    const body = (await response.toArray()).join('')
    expect([response.statusCode, (JSON.parse(body) as { errors: { code: string }[] }).errors[0]?.code]).toEqual([
      status,
      code,
    ])
  })

  it('names the methods that are possible', async () => {
    const response = await fetch(`${base}/v2/a/manifests/x`, { method: 'POST' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, PUT, DELETE'])
  })

  it('lets no web page write', async () => {
    const response = await fetch(`${base}/v2/a/blobs/uploads/`, {
      method: 'POST',
      headers: { origin: 'https://evil.test' },
    })
    expect([response.status, await faultCode(response)]).toEqual([403, 'DENIED'])
  })

  it('does not delete a manifest as a blob', async () => {
    const { digest } = await pushImage(base, 'a', 'v1')
    expect((await fetch(`${base}/v2/a/blobs/${digest}`, { method: 'DELETE' })).status).toBe(405)
    expect((await fetch(`${base}/v2/a/manifests/v1`)).status).toBe(200)
  })

  it('tells a client that waits to send, and not one that may not', async () => {
    const ask = async (path: string): Promise<[continued: boolean, status: number | undefined]> => {
      const content = 'abc'
      const sender = httpRequest(`${base}${path}`, {
        method: 'POST',
        headers: { expect: '100-continue', 'content-length': 3 },
      })
      let continued = false
      sender.on('continue', () => {
        continued = true
        sender.end(content)
      })
      sender.flushHeaders()
      const [response] = (await once(sender, 'response')) as [import('node:http').IncomingMessage]
      response.resume()
      sender.destroy()
      return [continued, response.statusCode]
    }
    expect(await ask(`/v2/a/blobs/uploads/?digest=${digestOf('abc')}`)).toEqual([true, 201])
    expect(await ask('/v2/A/blobs/uploads/')).toEqual([false, 400])
  })
})
