import { lstat, mkdir, mkdtemp, readFile, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Layer } from '../../layers/layer.ts'
import { temporaryName } from '../../src/core/temporary-name.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import {
  copyContent,
  copyImage,
  openDestination,
  openImage,
  openImageOrIndex,
  openSource,
  parsePlatform,
  readContent,
  convertContent,
} from '../../src/destinations/index.ts'
import { isImageIndex } from '../../src/image/image.ts'
import { sampleImage, sampleIndex, sampleLayer } from '../support/sample-image.ts'
import { DOCKER, digestHex } from 'oci-spec-types'

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'destinations-'))))
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Every place on disk, by a name that is free. */
const places = {
  oci: (name: string) => `oci:${join(folder, name)}:v1`,
  'oci without a tag': (name: string) => `oci:${join(folder, name)}`,
  'oci-archive': (name: string) => `oci-archive:${join(folder, `${name}.tar`)}:v1`,
  'docker-archive': (name: string) => `docker-archive:${join(folder, `${name}.tar`)}:sample:v1`,
} as const

test('a layout names a blob when its digest is known, and keeps nothing of one that failed', async () => {
  const place = join(folder, 'streamed')
  const destination = await openDestination(`oci:${place}`)
  const bytes = Buffer.from('bytes of a layer that is being made')
  const blob = await destination.putStream?.({ open: openBytes(bytes) })
  expect(blob).toEqual({ digest: digestOf(bytes), size: bytes.length })
  const blobs = join(place, 'blobs', 'sha256')
  expect(await readFile(join(blobs, digestHex(digestOf(bytes))))).toEqual(bytes)
  await expect(destination.putStream?.({ open: openBytes(bytes), sizeBytes: 1 })).rejects.toMatchObject({
    code: 'SIZE_MISMATCH',
  })
  expect(await readdir(blobs)).toHaveLength(1)
})

test('openDestination() refuses a place where something else lies, before anything is made', async () => {
  const file = join(folder, 'a-file')
  await writeFile(file, 'words')
  const refusal = async (location: string): Promise<unknown> =>
    openDestination(location).catch((error: unknown) => error)
  for (const [location, words] of [
    [`oci:${file}`, 'there is a file, and an OCI layout is a folder'],
    [`oci:${file}/deep/below`, `\`${file}\` is a file, not a folder`],
    [`oci-archive:${folder}`, 'there is a folder, and an archive is a file'],
    [`docker-archive:${folder}:a:v1`, 'there is a folder, and an archive is a file'],
    ...(process.platform === 'win32' ? [] : [['oci-archive:/dev/null', 'there is a pipe or a device'] as const]),
    [`oci-archive:${file}/image.tar`, `\`${file}\` is a file, not a folder`],
  ] as const) {
    const message = expect.stringContaining(words) as string
    expect(await refusal(location), location).toMatchObject({
      code: 'FILE_UNWRITABLE',
      message,
      hint: expect.any(String),
    })
  }
  for (const location of [`oci:${folder}`, `oci:${folder}/new/one`, `oci-archive:${file}`])
    expect((await openDestination(location)).name).toBe(location)
})

describe.each(Object.entries(places))('%s', (kind, place) => {
  const isSingle = kind === 'docker-archive'

  test('gives back the image that was written', async () => {
    const image = sampleImage()
    const location = place(`${kind}-image`)
    const result = await copyImage(image, await openDestination(location))
    expect([result.digest, result.outcome, result.blobs.uploaded]).toEqual([image.descriptor.digest, 'copied', 3])
    const back = await openImage(location)
    expect(back.config).toEqual(image.config)
    if (!isSingle) expect(back.descriptor).toEqual(image.descriptor)
    for (const [index, layer] of back.layers.entries()) {
      const original = image.layers[index]
      expect(layer.descriptor.digest).toBe(original?.descriptor.digest)
      expect(layer.diffId).toBe(original?.diffId)
      const bytes = await collect(layer.open(), 1 << 20)
      expect(original && bytes.equals(await collect(original.open(), 1 << 20))).toBe(true)
      expect(await collect(layer.open({ offset: 10 }), 1 << 20)).toEqual(bytes.subarray(10))
    }
  })

  test('writes the same bytes twice', async () => {
    const location = place(`${kind}-twice`)
    await copyImage(sampleImage(), await openDestination(location))
    const first = await snapshot(folder, `${kind}-twice`)
    await copyImage(sampleImage(), await openDestination(location))
    expect(await snapshot(folder, `${kind}-twice`)).toEqual(first)
  })

  test.skipIf(isSingle)('keeps an index whole', async () => {
    const index = sampleIndex()
    const location = place(`${kind}-index`)
    await copyImage(index, await openDestination(location))
    const back = await openImageOrIndex(location)
    expect(isImageIndex(back) && back.images.map(({ image }) => image.descriptor.digest)).toEqual(
      index.images.map(({ image }) => image.descriptor.digest),
    )
    const arm = await openImage(location, { platform: parsePlatform('linux/arm64/v8') })
    expect(arm.config.architecture).toBe('arm64')
    await expect(openImage(location, { platform: parsePlatform('linux/s390x') })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
      hint: expect.stringContaining('linux/amd64, linux/arm64'),
    })
  })

  test.runIf(isSingle)('refuses an index', async () => {
    const destination = await openDestination(place(`${kind}-index`))
    await expect(copyImage(sampleIndex(), destination)).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
    expect(await readdir(folder)).not.toContain(`${kind}-index.tar`)
  })

  test('a damaged layer publishes nothing and leaves what was there', async () => {
    const location = place(`${kind}-damaged`)
    await copyImage(sampleImage({ label: 'old' }), await openDestination(location))
    const before = await openImage(location)
    const layer = sampleLayer('bad.txt')
    const damaged = Buffer.from(await collect(layer.open(), 1 << 20))
    damaged[40] = (damaged[40] ?? 0) ^ 1
    const bad = { ...layer, open: openBytes(damaged) }
    const copy = copyImage(sampleImage({ layers: [bad] }), await openDestination(location))
    await expect(copy).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect((await openImage(location)).config).toEqual(before.config)
    expect(await temporaryFiles(folder)).toEqual([])
  })

  test('a layer that arrives damaged once is fetched again', async () => {
    const good = sampleLayer('good.txt', 3000)
    const other = sampleLayer('other.txt', 3000)
    let opened = 0
    const flaky = { ...good, open: () => (opened++ === 0 ? other.open() : good.open()) }
    const location = place(`${kind}-flaky`)
    await copyImage(sampleImage({ layers: [sampleLayer('first.txt'), flaky] }), await openDestination(location))
    const back = await openImage(location)
    expect(await collect((back.layers[1] ?? good).open(), 1 << 20)).toEqual(await collect(good.open(), 1 << 20))
    expect(opened).toBe(2)
  })

  test('an abort in the middle leaves nothing behind', async () => {
    const controller = new AbortController()
    const layer = sampleLayer('slow.txt')
    const aborting = {
      ...layer,
      open: async function* () {
        controller.abort(new Error('Ctrl-C'))
        yield* layer.open()
      },
    }
    const location = place(`${kind}-abort`)
    const image = sampleImage({ layers: [aborting] })
    const copy = copyImage(image, await openDestination(location), { signal: controller.signal })
    await expect(copy).rejects.toThrow('Ctrl-C')
    await expect(openImage(location)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    expect(await temporaryFiles(folder)).toEqual([])
  })

  test('the same layer twice is stored once and kept twice', async () => {
    const layer = sampleLayer('same.txt')
    const location = place(`${kind}-same`)
    const result = await copyImage(sampleImage({ layers: [layer, layer] }), await openDestination(location))
    expect(result.blobs.uploaded).toBe(2)
    expect((await openImage(location)).layers.length).toBe(2)
  })
})

test('a layout that was copied in part says which blob it lacks', async () => {
  const path = join(folder, 'partial')
  const layer = sampleLayer('lost.txt')
  await copyImage(sampleImage({ layers: [layer] }), await openDestination(`oci:${path}:v1`))
  const { digest } = (await openImage(`oci:${path}:v1`)).layers[0]?.descriptor ?? layer.descriptor
  await rm(join(path, 'blobs/sha256', digestHex(digest)))
  const lost = (await openImage(`oci:${path}:v1`)).layers[0]
  await expect(collect((lost ?? layer).open(), 1 << 20)).rejects.toMatchObject({
    code: 'IMAGE_INVALID',
    message: expect.stringContaining(digest),
  })
})

test('a layout keeps its other tags, and the newest of one tag wins', async () => {
  const path = join(folder, 'tags')
  for (const tag of ['a', 'b'])
    await copyImage(sampleImage({ label: tag }), await openDestination(`oci:${path}:${tag}`))
  await copyImage(sampleImage({ label: 'a2' }), await openDestination(`oci:${path}:a`))
  const labels = await Promise.all(
    ['a', 'b'].map(async (tag) => (await openImage(`oci:${path}:${tag}`)).config.config?.Labels),
  )
  expect(labels).toEqual([{ sample: 'a2' }, { sample: 'b' }])
  await expect(openImage(`oci:${path}`)).rejects.toMatchObject({
    code: 'IMAGE_NOT_FOUND',
    hint: expect.stringContaining('a, b'),
  })
})

test('copies into one layout at the same time lose no tag', async () => {
  const path = join(folder, 'race')
  const tags = Array.from({ length: 8 }, (_, index) => `t${index}`)
  await Promise.all(
    tags.map(async (tag) => copyImage(sampleImage({ label: tag }), await openDestination(`oci:${path}:${tag}`))),
  )
  const index = JSON.parse(await readFile(join(path, 'index.json'), 'utf8')) as { manifests: unknown[] }
  expect(index.manifests.length).toBe(8)
})

test('an unchanged image is known without reading its blobs', async () => {
  const location = `oci:${join(folder, 'noop')}:v1`
  await copyImage(sampleImage(), await openDestination(location))
  const closed = { ...sampleImage(), layers: [] }
  expect((await copyImage(closed, await openDestination(location))).outcome).toBe('exists')
})

test('convertContent() writes Docker schema 2 with the same blobs', async () => {
  const from = `oci:${join(folder, 'convert')}:v1`
  await copyImage(sampleIndex(), await openDestination(from))
  const content = await readContent(await openSource(from), { all: true })
  const to = `oci:${join(folder, 'converted')}:v1`
  await copyContent(convertContent(content, 'docker'), await openDestination(to))
  const back = await openImageOrIndex(to)
  expect(back.descriptor.mediaType).toBe(DOCKER.manifestList)
  const image = await openImage(to, { platform: parsePlatform('amd64') })
  expect(image.manifest.mediaType).toBe(DOCKER.manifest)
  expect(image.manifest.config.mediaType).toBe(DOCKER.config)
  expect(image.manifest.layers.map(({ mediaType }) => mediaType)).toEqual(Array(2).fill(DOCKER.layerGzip))
  const again = convertContent(await readContent(await openSource(to), { all: true }), 'oci')
  expect(again.children.map((child) => child.manifest.descriptor.digest)).toHaveLength(2)
})

test('what a killed copy left behind is swept, what a running one writes is not', async () => {
  const path = join(folder, 'swept')
  await copyImage(sampleImage(), await openDestination(`oci:${path}:v1`))
  const [old, fresh] = ['.tmp-1-old', '.tmp-2-fresh'].map((name) => join(path, 'blobs', 'sha256', name)) as [
    string,
    string,
  ]
  await writeFile(old, 'x')
  await utimes(old, 0, 0)
  await writeFile(fresh, 'x')
  await copyImage(sampleImage({ label: 'b' }), await openDestination(`oci:${path}:v2`))
  const left = (await readdir(join(path, 'blobs', 'sha256'))).filter((name) => name.startsWith('.tmp-'))
  expect(left).toEqual(['.tmp-2-fresh'])
  await rm(fresh)
})

test.skipIf(process.platform === 'win32')(
  'an archive goes behind the link that its place is, and the link stays',
  async () => {
    const [links, disk] = [join(folder, 'links'), join(folder, 'disk')]
    for (const made of [links, disk]) await mkdir(made)
    await symlink(disk, join(links, 'disk'))
    await symlink('disk/image.tar', join(links, 'there.tar'))
    await symlink('there.tar', join(links, 'twice.tar'))
    await symlink('../disk/not-yet.tar', join(links, 'dangling.tar'))
    await writeFile(join(disk, 'image.tar'), 'before')
    for (const name of ['twice.tar', 'dangling.tar'])
      for (const kind of ['oci-archive', 'docker-archive']) {
        await copyImage(sampleImage(), await openDestination(`${kind}:${join(links, name)}`))
        expect((await openImage(`${kind}:${join(links, name)}`)).manifest.config).toEqual(sampleImage().manifest.config)
      }
    expect((await readdir(disk)).sort()).toEqual(['image.tar', 'not-yet.tar'])
    for (const name of ['there.tar', 'twice.tar', 'dangling.tar'])
      expect((await lstat(join(links, name))).isSymbolicLink()).toBe(true)
    await symlink('round.tar', join(links, 'round.tar'))
    await expect(
      copyImage(sampleImage(), await openDestination(`oci-archive:${join(links, 'round.tar')}`)),
    ).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' })
  },
)

test.skipIf(process.platform === 'win32')(
  'an archive that fails leaves what lies behind its link as it was',
  async () => {
    const target = join(folder, 'kept.tar')
    await writeFile(target, 'before')
    await symlink(target, join(folder, 'kept-link.tar'))
    const broken: Layer = { ...sampleLayer('broken'), open: openBytes(Buffer.from('other bytes')) }
    await expect(
      copyImage(
        sampleImage({ layers: [broken] }),
        await openDestination(`oci-archive:${join(folder, 'kept-link.tar')}`),
      ),
    ).rejects.toMatchObject({ code: expect.stringContaining('MISMATCH') })
    expect(await readFile(target, 'utf8')).toBe('before')
    expect(
      (await readdir(folder)).filter((name) => name.startsWith('.tmp-') && name.includes(`-${process.pid}-`)),
    ).toEqual([])
  },
)

test('a next archive sweeps what a killed one left beside it, and nothing else', async () => {
  const beside = join(folder, 'archives')
  await mkdir(beside)
  const left = temporaryName('.tmp').replace(`-${process.pid}-`, '-999999999-')
  for (const name of [left, '.tmp-somebody-elses']) await writeFile(join(beside, name), 'x')
  await copyImage(sampleImage(), await openDestination(`oci-archive:${join(beside, 'image.tar')}`))
  expect((await readdir(beside)).sort()).toEqual(['.tmp-somebody-elses', 'image.tar'])
})

test('an archive that ends early is refused', async () => {
  const path = join(folder, 'cut.tar')
  await copyImage(sampleImage(), await openDestination(`oci-archive:${path}`))
  await writeFile(path, (await readFile(path)).subarray(0, 3000))
  await expect(openImage(`oci-archive:${path}`)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
})

async function snapshot(root: string, prefix: string): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && join(entry.parentPath, entry.name).includes(prefix))
  const contents = files.map(async (entry) => {
    const path = join(entry.parentPath, entry.name)
    return [path, (await readFile(path)).toString('base64')] as const
  })
  return Object.fromEntries(await Promise.all(contents))
}

async function temporaryFiles(root: string): Promise<string[]> {
  return (await readdir(root, { recursive: true })).filter((path) => path.includes('.tmp-') || path.endsWith('.lock'))
}
