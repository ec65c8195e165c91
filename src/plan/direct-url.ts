import type { LockedWheel } from '../python/lock.ts'

/**
 * The contents of `direct_url.json` for a wheel that the project named by its address; undefined for all others.
 *
 * A path of the machine that builds says nothing in an image, and would make the image depend on it: local files and
 * folders have none.
 *
 * @see PEP 610
 */
export function makeDirectUrl({
  url,
  sha256,
  isDirect,
  source,
}: LockedWheel): Readonly<Record<string, unknown>> | undefined {
  const place = source?.place
  const subdirectory = place?.subdirectory === undefined ? {} : { subdirectory: place.subdirectory }
  if (place?.kind === 'repository') {
    return { url: withoutCredentials(place.url), vcs_info: { vcs: 'git', commit_id: place.commit }, ...subdirectory }
  }
  if (isDirect !== true || !/^https?:/.test(url)) return undefined
  return {
    url: withoutCredentials(url),
    archive_info: { hash: `sha256=${sha256}`, hashes: { sha256 } },
    ...subdirectory,
  }
}

function withoutCredentials(text: string): string {
  if (!URL.canParse(text)) return text
  const url = new URL(text)
  url.username = ''
  url.password = ''
  return url.href
}
