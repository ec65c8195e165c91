import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OCI, type Descriptor, type Digest } from 'oci-spec-types'
import { readManifest, assertDigest, MANIFEST_LIMIT, type RawManifest } from '../../registry/manifest.ts'
import type { Open } from '../core/bytes.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { openPath } from '../core/file-access.ts'
import { blobPath, parseLayoutIndex, tagOf } from './oci-layout.ts'
import { parseManifest, type Source } from './source.ts'

/** Reads an OCI layout folder. */
export function layoutSource(folder: string, tag: string | undefined): Source {
  return layoutOver(
    {
      readText: async (path) => String(await readOptional(join(folder, path))),
      readBlob: (digest) => readOptional(blobPath(folder, digest)),
      openBlob: (digest) => openBlob(blobPath(folder, digest), digest),
    },
    `oci:${folder}`,
    tag,
  )
}

/** The files of a layout, wherever they lie. */
export interface LayoutFiles {
  /** @throws BuildError IMAGE_NOT_FOUND when there is no such file */
  readText(path: string): Promise<string>
  readBlob(digest: Digest): Promise<Buffer>
  openBlob(digest: Digest): Open
}

/** A source over the files of an OCI layout. @see OCI image-spec, image-layout.md */
export function layoutOver(files: LayoutFiles, place: string, tag: string | undefined): Source {
  const name = tag === undefined ? place : `${place}:${tag}`
  const read = async (descriptor: Descriptor): Promise<RawManifest> => {
    if (descriptor.size > MANIFEST_LIMIT)
      throw new BuildError('IMAGE_INVALID', `A manifest is larger than ${MANIFEST_LIMIT} bytes: ${name}`)
    const manifest = readManifest(await files.readBlob(descriptor.digest), descriptor.mediaType, name)
    assertDigest(manifest, descriptor.digest, name)
    return manifest
  }
  return {
    name,
    async root() {
      const entries = await parseLayoutIndex(await files.readText('index.json'), `${place}/index.json`)
      return read(chooseEntry(entries, place, tag))
    },
    manifest: read,
    blob: (descriptor) => files.openBlob(descriptor.digest),
    home: undefined,
    async attachments(subject) {
      const entries = await parseLayoutIndex(await files.readText('index.json'), `${place}/index.json`)
      const found: Descriptor[] = []
      for (const entry of entries.filter(({ mediaType }) => mediaType === OCI.manifest)) {
        const { subject: about, artifactType, config, annotations } = await parseManifest(await read(entry), name)
        if (about?.digest === subject)
          found.push({ ...entry, artifactType: artifactType ?? config.mediaType, annotations: annotations ?? {} })
      }
      return found
    },
  }
}

/** The entry with the tag; without one, the only entry, else the one without a tag, else `latest`. */
function chooseEntry(entries: readonly Descriptor[], place: string, tag: string | undefined): Descriptor {
  const [only, ...others] = entries
  const untagged = entries.filter((entry) => tagOf(entry) === undefined)
  const found =
    tag === undefined
      ? others.length === 0
        ? only
        : untagged.length === 1
          ? untagged[0]
          : entries.find((entry) => tagOf(entry) === 'latest')
      : entries.find((entry) => tagOf(entry) === tag || tagOf(entry)?.endsWith(`:${tag}`))
  if (found !== undefined) return found
  const tags = entries.flatMap((entry) => tagOf(entry) ?? []).join(', ')
  throw new BuildError(
    'IMAGE_NOT_FOUND',
    tag === undefined ? `Several images, none chosen: \`${place}\`` : `No image with the tag \`${tag}\`: \`${place}\``,
    { hint: tags === '' ? undefined : `Its tags: ${tags}. Name one after a colon, such as ${place}:TAG.` },
  )
}

function openBlob(path: string, digest: Digest): Open {
  return async function* (options) {
    try {
      yield* openPath(path)(options)
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === undefined) throw error
      if (code === 'ENOENT') {
        throw new BuildError('IMAGE_INVALID', `The layout has no blob ${digest}, which its image names: \`${path}\``, {
          hint: 'It was copied in part. Write it again, or copy the image from where it came from.',
          cause: error,
        })
      }
      throw new BuildError('FILE_UNREADABLE', `Cannot read \`${path}\``, { cause: error })
    }
  }
}

async function readOptional(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new BuildError('IMAGE_NOT_FOUND', `No such file: \`${path}\``, {
        hint: 'An OCI layout is a folder with oci-layout, index.json and blobs/.',
        cause: error,
      })
    throw new BuildError('FILE_UNREADABLE', `Cannot read \`${path}\``, { cause: error })
  }
}
