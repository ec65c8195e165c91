import { statSync } from 'node:fs'
import { isAbsolute, relative } from 'node:path'
import { filePathOf } from '../core/file-url.ts'
import { assertResolvable, sourcesFor } from '../python/input/sources.ts'
import type { Requirements, SourceRequirement } from '../python/input/requirements-file.ts'
import { maskUrl } from '../core/http.ts'
import { formatMarker } from '../python/marker.ts'
import { parseMetadata } from '../python/metadata.ts'
import { parseRequirement } from '../python/requirement.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import type { SourceReader } from '../python/source-package.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'
import { readSourceFolder } from './source-folder.ts'

/**
 * Folders, archives and repositories as requirements by name and address; the name of one that is only an address comes
 * from its metadata.
 *
 * @throws BuildError NOT_SUPPORTED without a reader
 */
export async function nameSources(
  sources: readonly SourceRequirement[],
  target: Target,
  reader: SourceReader | undefined,
): Promise<readonly RootRequirement[]> {
  if (reader === undefined) assertResolvable(sources, target)
  const roots: RootRequirement[] = []
  for (const { location, name, extras = [], origin } of sourcesFor(sources, target)) {
    const known = name ?? (await nameOf(location, origin, reader))
    if (known === undefined) continue
    const text = extras.length === 0 ? known : `${known}[${extras.join(',')}]`
    roots.push({ requirement: { ...parseRequirement(text), url: location }, origin })
  }
  return roots
}

async function nameOf(location: string, origin: string, reader: SourceReader | undefined): Promise<string | undefined> {
  const described = await reader?.named(location, origin)
  return described === undefined ? undefined : parseMetadata(described.metadata, location).name
}

/**
 * What is to be built, as plain JSON for keys. Folders count by what is in them, and by their place beside the project: the
 * same project elsewhere is the same question.
 */
export async function sourcesKey(
  { sources }: Requirements,
  { projectFolder, signal }: Pick<ResolveContext, 'projectFolder' | 'signal'>,
): Promise<readonly unknown[]> {
  const lines: unknown[] = []
  for (const { location, name, extras, marker } of sources) {
    const folder = folderOf(location)
    const place =
      folder === undefined
        ? maskUrl(location)
        : [relative(projectFolder, folder), (await readSourceFolder(folder, signal)).digest]
    lines.push([place, name ?? null, extras ?? [], marker === undefined ? null : formatMarker(marker)])
  }
  return lines
}

/** The folder that an address means; undefined for anything else. */
export function folderOf(location: string): string | undefined {
  const path = location.startsWith('file:')
    ? filePathOf(new URL(location))
    : isAbsolute(location)
      ? location
      : undefined
  return path !== undefined && statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : undefined
}
