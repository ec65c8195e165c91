import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import type { AptSourceConfig } from '../config/config.ts'
import { collect } from '../core/bytes.ts'
import { digestOf, verify } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import { readKeysOf } from '../debian/release-signature.ts'
import type { ArchiveSource } from '../debian/source.ts'
import type { ResolveContext } from './context.ts'

const MAX_KEY_BYTES = 1 << 20

/** Absolute paths of the key files that archives of the project name. */
export function aptKeyFiles(sources: readonly AptSourceConfig[], projectFolder: string): string[] {
  return sources.flatMap(({ key }) => (key.kind === 'file' ? [absolute(key.path, projectFolder)] : []))
}

/** Digests of those files in the same order: the answers depend on their contents. @throws BuildError FILE_UNREADABLE */
export async function aptKeyDigests(sources: readonly AptSourceConfig[], projectFolder: string): Promise<string[]> {
  return Promise.all(aptKeyFiles(sources, projectFolder).map(async (path) => digestOf(await readKeyFile(path))))
}

/**
 * The archives that a project names besides those of its distribution, each with the keys that sign it.
 *
 * There is no way to take packages from an archive that is not signed.
 *
 * @throws BuildError CONFIG_INVALID for a key that is none, FILE_UNREADABLE, DIGEST_MISMATCH, ARCHIVE_UNAVAILABLE
 */
export async function openAptSources(
  sources: readonly AptSourceConfig[],
  context: ResolveContext,
): Promise<ArchiveSource[]> {
  return Promise.all(
    sources.map(async ({ url, suite, components, key }) => {
      const bytes = await openKey(key, context)
      await assertKey(bytes, url)
      return { url, suite, components, keys: [bytes] }
    }),
  )
}

async function openKey(key: AptSourceConfig['key'], context: ResolveContext): Promise<Uint8Array> {
  switch (key.kind) {
    case 'inline':
      return Buffer.from(key.text)
    case 'file':
      return readKeyFile(absolute(key.path, context.projectFolder))
    case 'url':
      return fetchKey(key.url, key.sha256, context)
  }
}

async function fetchKey(url: string, sha256: string, context: ResolveContext): Promise<Uint8Array> {
  const cache = context.cache('debian')
  const known = await cache.get(`debian/key/${sha256}`)
  if (known !== undefined && digestOf(known) === `sha256:${sha256}`) return known
  const response = await context.http({ url, signal: context.signal })
  if (response.status !== 200) {
    await response.discard()
    throw new BuildError(
      'ARCHIVE_UNAVAILABLE',
      `The key of an archive was answered with ${response.status}: ${maskUrl(url)}`,
      {
        hint: 'Check `key.url` in build.apt_sources.',
        data: { url: maskUrl(url), status: response.status },
      },
    )
  }
  const bytes = await response.bytes(MAX_KEY_BYTES)
  const once = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  await collect(verify(once(), { digest: `sha256:${sha256}`, size: bytes.length }, maskUrl(url)), MAX_KEY_BYTES)
  await cache.set(`debian/key/${sha256}`, bytes)
  return bytes
}

async function readKeyFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read the key of an archive: \`${path}\``, { cause: error })
  }
}

// A key that cannot be read is the project's mistake; found later, it would look like a forged archive.
async function assertKey(bytes: Uint8Array, url: string): Promise<void> {
  try {
    const keys = await readKeysOf([bytes])
    if (keys.length > 0 && keys.every((key) => !key.isPrivate())) return
  } catch (error) {
    throw notAKey(url, error)
  }
  throw notAKey(url)
}

function notAKey(url: string, cause?: unknown): BuildError {
  return new BuildError('CONFIG_INVALID', `The key in build.apt_sources is no OpenPGP public key: ${maskUrl(url)}`, {
    hint: "Take the file that the archive's own instructions put beside `signed-by`.",
    cause,
  })
}

function absolute(path: string, projectFolder: string): string {
  return isAbsolute(path) ? path : join(projectFolder, path)
}
