/**
 * Cleans the name of a tar member: no leading `./` or `/`, no trailing slash; '' is the root itself.
 *
 * @throws RangeError when it has `..`, an empty part, a NUL, a line break or is no text
 */
export function cleanMemberPath(name: string): string {
  const path = name.replace(/^\.?\/+/, '').replace(/\/+$/, '')
  if (path === '' || path === '.') return ''
  if (/[\0\n\r\uFFFD]/.test(path))
    throw new RangeError(`A path with a character that none may have: ${JSON.stringify(path)}`)
  if (path.split('/').some((part) => part === '..' || part === '.' || part === '')) {
    throw new RangeError(`A path that leaves its folder: ${path}`)
  }
  return path
}

/** Links at the root of every Debian file system since bookworm, oldest name first. */
export const USRMERGE_LINKS: Readonly<Record<string, string>> = {
  bin: 'usr/bin',
  sbin: 'usr/sbin',
  lib: 'usr/lib',
  lib32: 'usr/lib32',
  lib64: 'usr/lib64',
  libx32: 'usr/libx32',
}

/** Links to folders that every Debian image has; no package may put a folder in their place. */
export const SYSTEM_LINKS: Readonly<Record<string, string>> = {
  ...USRMERGE_LINKS,
  'var/run': 'run',
  'var/lock': 'run/lock',
}

/**
 * Rewrites a path whose leading folders are symbolic links, so that no entry is ever written through a link and no
 * directory entry replaces one.
 *
 * @param links  path of each link (no leading slash) -> folder that it leads to, relative to the root
 * @throws RangeError when links lead in a circle
 */
export function followLinks(path: string, links: ReadonlyMap<string, string>): string {
  let current = path
  for (let hops = 0; hops < 40; hops++) {
    const link = firstLink(current, links)
    if (link === undefined) return current
    current = `${links.get(link)}${current.slice(link.length)}`.replace(/^\/+/, '')
  }
  throw new RangeError(`Symbolic links lead in a circle: ${path}`)
}

function firstLink(path: string, links: ReadonlyMap<string, string>): string | undefined {
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    const folder = path.slice(0, slash)
    if (links.has(folder)) return folder
  }
  return undefined
}

/**
 * The path that a link's target means, relative to the root; `..` stops at the root as it does for the kernel.
 *
 * @param linkPath where the link lies, without leading slash
 */
export function linkDestination(linkPath: string, target: string): string {
  const parts = target.startsWith('/') ? [] : linkPath.split('/').slice(0, -1)
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return parts.join('/')
}
