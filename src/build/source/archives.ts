import { existsSync } from 'node:fs'
import { basename, relative, sep } from 'node:path'
import type { Digest } from 'oci-spec-types'
import { decodePercent } from '../../core/percent.ts'
import { filePathOf } from '../../core/file-url.ts'
import { writeTar } from '../../../layers/files.ts'
import { entriesOf } from '../../../layers/project-files.ts'
import { makeOpenRemote } from '../../../layers/remote.ts'
import { digestOf } from '../../core/digest.ts'
import { BuildError } from '../../core/errors.ts'
import { maskUrl } from '../../core/http.ts'
import { canonicalJson } from '../../core/json.ts'
import { nested } from '../../core/progress.ts'
import type { RemoteFile } from '../../core/remote-file.ts'
import { completeFile } from '../../python/direct-wheel.ts'
import type { ListedFile } from '../../python/index/client.ts'
import type { SourcePlace } from '../../python/lock.ts'
import { readSourceFolder } from '../../resolve/source-folder.ts'
import { folderOf } from '../../resolve/sources.ts'
import type { SourceContext } from './context.ts'
import { fetchRepository, parseRepository, resolveCommit, withoutCredentials } from './repository.ts'
import { parseSubdirectory } from './subdirectory.ts'

/** A source whose bytes lie in the store. */
export interface FetchedSource {
  readonly file: RemoteFile & { readonly filename: string }
  readonly place: SourcePlace
  /** Of the archive in the store. */
  readonly archive: Digest
  /** Archives have one; what was packed here has none. */
  readonly hasTopFolder: boolean
}

/** Fetches a source distribution that an index lists. */
export async function fetchListed(file: ListedFile, context: SourceContext): Promise<FetchedSource> {
  const { http, headers, signal } = context
  const complete = await completeFile(file, { http, headers, signal })
  return fetchFile({ filename: file.filename, ...complete }, { kind: 'archive' }, context)
}

/**
 * Fetches what a requirement names by its address.
 *
 * @throws BuildError NOT_SUPPORTED, REQUIREMENT_INVALID, FILE_UNREADABLE
 */
export async function fetchNamed(location: string, context: SourceContext): Promise<FetchedSource> {
  const folder = folderOf(location)
  if (folder !== undefined) return packFolder(folder, fragmentOf(location), context)
  if (/^\w+\+/.test(location)) {
    const repository = parseRepository(location)
    const commit = await resolveCommit(repository, context)
    return fetchCommit({ ...repository, commit }, context)
  }
  const url = new URL(location)
  if (!/^(?:https?|file):$/.test(url.protocol)) {
    throw new BuildError('NOT_SUPPORTED', `Sources are not fetched over \`${url.protocol}\`: ${maskUrl(location)}`)
  }
  const fragment = fragmentOf(location)
  const sha256 = fragment.get('sha256')
  url.hash = ''
  const filename = decodePercent(basename(url.pathname))
  if (!/\.(?:tar\.gz|tgz|zip)$/i.test(filename)) {
    throw new BuildError('NOT_SUPPORTED', `Not a source archive that can be read: ${maskUrl(location)}`, {
      hint: 'Archives end with .tar.gz, .tgz or .zip.',
    })
  }
  if (url.protocol === 'file:' && !existsSync(filePathOf(url)))
    throw new BuildError('FILE_UNREADABLE', `The source archive does not exist: \`${filePathOf(url)}\``)
  const { http, headers, signal } = context
  const file: ListedFile = { filename, url: url.href, index: '', hashes: sha256 === null ? {} : { sha256 } }
  const complete = await completeFile(file, { http, headers, signal })
  return fetchFile({ filename, ...complete }, { kind: 'archive', ...subdirectoryOf(fragment) }, context)
}

/** Fetches a source again, as a lock names it. @throws BuildError LOCK_STALE when a folder has changed since */
export async function fetchLocked(
  file: FetchedSource['file'],
  place: SourcePlace,
  context: SourceContext,
): Promise<FetchedSource> {
  switch (place.kind) {
    case 'archive':
      return fetchFile(file, place, context)
    case 'repository':
      return fetchCommit(place, context)
    case 'folder': {
      const folder = [context.projectFolder, ...place.path.split('/')].join(sep)
      const fetched = await packFolder(
        folder,
        new URLSearchParams(place.subdirectory === undefined ? {} : { subdirectory: place.subdirectory }),
        context,
      )
      if (fetched.file.sha256 === file.sha256) return fetched
      throw new BuildError('LOCK_STALE', `The folder has changed since it was locked: \`${place.path}\``, {
        hint: 'Run `layerwright lock`.',
      })
    }
  }
}

async function fetchFile(
  file: FetchedSource['file'],
  place: SourcePlace,
  { http, store, headers, report, signal }: SourceContext,
): Promise<FetchedSource> {
  const open = makeOpenRemote({ http, store, headers, report: nested(report, 'downloads'), signal })
  await (await open(file)).close()
  return { file, place, archive: `sha256:${file.sha256}`, hasTopFolder: true }
}

async function fetchCommit(
  location: { readonly url: string; readonly commit: string; readonly subdirectory?: string | undefined },
  context: SourceContext,
): Promise<FetchedSource> {
  const { commit, subdirectory } = location
  const { digest, size } = await fetchRepository(location, context)
  const url = withoutCredentials(location.url)
  const identity = { url, commit, subdirectory: subdirectory ?? null }
  return {
    file: {
      filename: `${basename(new URL(url).pathname).replace(/\.git$/, '')}.tar`,
      url: `git+${url}@${commit}`,
      sha256: digestOf(canonicalJson(identity)).slice('sha256:'.length),
      sizeBytes: size,
    },
    place: { kind: 'repository', url, commit, ...(subdirectory === undefined ? {} : { subdirectory }) },
    archive: digest,
    hasTopFolder: false,
  }
}

async function packFolder(folder: string, fragment: URLSearchParams, context: SourceContext): Promise<FetchedSource> {
  const { store, projectFolder, signal } = context
  const { files } = await readSourceFolder(folder, signal)
  const { digest, size } = await store.put(writeTar(entriesOf(files, folder, '')))
  const path = relative(projectFolder, folder).split(sep).join('/')
  return {
    file: {
      filename: `${basename(folder)}.tar`,
      url: `folder:${encodeURI(path)}`,
      sha256: digest.slice('sha256:'.length),
      sizeBytes: size,
    },
    place: { kind: 'folder', path, ...subdirectoryOf(fragment) },
    archive: digest,
    hasTopFolder: false,
  }
}

function fragmentOf(location: string): URLSearchParams {
  return new URLSearchParams(location.split('#', 2)[1] ?? '')
}

function subdirectoryOf(fragment: URLSearchParams): { readonly subdirectory?: string } {
  const subdirectory = parseSubdirectory(fragment)
  return subdirectory === undefined ? {} : { subdirectory }
}
