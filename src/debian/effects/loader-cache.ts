import type { LibraryFacts } from '../elf.ts'
import type { System } from './system.ts'

/** One line of the loader's cache: the name that programs ask for and the file that has it. */
export interface CacheEntry {
  readonly soname: string
  readonly path: string
  readonly flags: number
}

const MAGIC = 'glibc-ld.so.cache1.1'
const HEADER_BYTES = 48
const ENTRY_BYTES = 24
const EXTENSION_MAGIC = 0xeaa42174
const LITTLE_ENDIAN = 2
/** FLAG_ELF_LIBC6 of glibc's ldconfig.h, with the machine in the second byte. */
const FLAGS: Readonly<Record<string, number>> = { '2/62': 0x0303, '1/62': 0x0803, '1/3': 0x0003, '2/183': 0x0a03 }

/**
 * Makes `/etc/ld.so.cache` as `ldconfig` does, for the folders that `/etc/ld.so.conf` names and the loader's own.
 *
 * On an existing base the entries of its cache are kept, for its libraries are not read.
 *
 * @see glibc, sysdeps/generic/dl-cache.h and elf/cache.c
 */
export function loaderCache(system: System): void {
  const hasLibraries = system.packages.some(({ paths }) => paths.some(({ path }) => /\.so(?:\.|$)/.test(path)))
  const existing = system.base.get('etc/ld.so.cache')
  if (!hasLibraries && existing !== undefined) return
  if (system.read('etc/ld.so.conf') === undefined && existing === undefined) return
  const folders = searchFolders(system)
  const before = existing === undefined ? [] : parseLoaderCache(existing)
  const inBase = new Map(before.map((entry) => [system.place(entry.path), entry]))
  const found = folders.flatMap((folder) => librariesIn(folder, system, inBase))
  const names = new Set(found.map((entry) => `${entry.path}\0${entry.flags}`))
  const kept = before.filter((entry) => !names.has(`${entry.path}\0${entry.flags}`))
  system.write('etc/ld.so.cache', formatLoaderCache([...found, ...kept], generator(system, existing)))
}

// Folders that are the same (through a link) count once, under their first name.
function searchFolders(system: System): string[] {
  const folders = [...configuredFolders(system, 'etc/ld.so.conf', 0), '/lib', '/usr/lib']
  const seen = new Set<string>()
  return folders.filter((folder) => {
    const place = system.place(`${folder}/x`)
    if (seen.has(place)) return false
    seen.add(place)
    return true
  })
}

function configuredFolders(system: System, path: string, depth: number): string[] {
  if (depth > 10) return []
  const folders: string[] = []
  for (const rawLine of (system.readText(path) ?? '').split('\n')) {
    const line = rawLine.replace(/#.*/, '').trim()
    const include = /^include\s+(.+)$/.exec(line)?.[1]
    if (include !== undefined) {
      for (const pattern of include.split(/\s+/)) {
        const expression = globExpression(pattern.startsWith('/') ? pattern.slice(1) : `etc/${pattern}`)
        for (const file of [...system.find(expression)].sort())
          folders.push(...configuredFolders(system, file, depth + 1))
      }
    } else if (line.startsWith('/')) {
      folders.push(...line.split(/[\s:,]+/).map((folder) => folder.replace(/=.*/, '').replace(/\/+$/, '')))
    }
  }
  return folders
}

function globExpression(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]')
  return new RegExp(`^${escaped}$`)
}

interface Found {
  readonly name: string
  readonly soname: string
  readonly isLink: boolean
  readonly flags: number
}

function librariesIn(folder: string, system: System, inBase: ReadonlyMap<string, CacheEntry>): CacheEntry[] {
  const place = system.place(`${folder}/x`).slice(0, -2)
  const bySoname = new Map<string, Found>()
  for (const name of namesIn(place, system)) {
    const found = describe(place, name, system, inBase)
    if (found === undefined) continue
    const other = bySoname.get(found.soname)
    // As search_dir of ldconfig.c: a file before a link, else the newer name.
    const isBetter =
      other === undefined ||
      (!found.isLink && other.isLink) ||
      (found.isLink === other.isLink && compareLibraryNames(other.name, found.name) < 0)
    if (isBetter) bySoname.set(found.soname, found)
  }
  for (const { soname, name, isLink } of bySoname.values()) {
    // ldconfig makes the link that the loader will ask for when a package does not bring it.
    if (!isLink && soname !== name && !system.has(`${place}/${soname}`)) system.link(`${place}/${soname}`, name)
  }
  return [...bySoname.values()].map(({ soname, flags }) => ({ soname, path: `${folder}/${soname}`, flags }))
}

const LIBRARY_NAME = /^(?:lib.*|ld-.*|ld)\.so(?:\.|$)/
const IGNORED_NAME = /-gdb\.py$|\.#prelink#|;/

function namesIn(place: string, system: System): string[] {
  return (index(system).get(place) ?? []).filter((name) => LIBRARY_NAME.test(name) && !IGNORED_NAME.test(name))
}

/** Names by folder; a system's packages do not change, and outputs hold links to libraries only. */
const indexes = new WeakMap<System, Map<string, string[]>>()

function index(system: System): Map<string, string[]> {
  const known = indexes.get(system)
  if (known !== undefined) return known
  const folders = new Map<string, string[]>()
  const add = (path: string): void => {
    const slash = path.lastIndexOf('/')
    const folder = path.slice(0, slash)
    const names = folders.get(folder)
    if (names === undefined) folders.set(folder, [path.slice(slash + 1)])
    else if (!names.includes(path.slice(slash + 1))) names.push(path.slice(slash + 1))
  }
  for (const { path, type } of system.paths()) if (type !== 'directory' && path.includes('.so')) add(path)
  for (const [path, output] of system.outputs()) if (output.kind === 'symlink' && path.includes('.so')) add(path)
  indexes.set(system, folders)
  return folders
}

function describe(
  folder: string,
  name: string,
  system: System,
  inBase: ReadonlyMap<string, CacheEntry>,
): Found | undefined {
  const real = resolve(`${folder}/${name}`, system)
  if (typeof real === 'string') {
    // A link of a new package to a library of the base, whose file is not read: the old cache knows it by its own name.
    const known = knownUnder(real, inBase)
    const isLink = known !== undefined && name.endsWith('.so') && known.soname.startsWith(name)
    return isLink ? { name, soname: name, isLink, flags: known.flags } : undefined
  }
  if (real === undefined) return undefined
  const { library, path } = real
  const flags = FLAGS[`${library.elfClass}/${library.machine}`]
  if (flags === undefined) return undefined
  const soname = library.soname ?? name
  // A link counts as one when it is the library's own name, or the name that the linker asks for.
  const isForLinker = name.endsWith('.so') && soname.startsWith(name)
  const isLink = path !== `${folder}/${name}` && (name === soname || isForLinker)
  return { name, soname: isLink ? name : soname, isLink, flags }
}

// The cache has `libz.so.1`, the link may name the file behind it, `libz.so.1.2.13`.
function knownUnder(path: string, inBase: ReadonlyMap<string, CacheEntry>): CacheEntry | undefined {
  for (let name = path; ; name = name.replace(/\.[^./]+$/, '')) {
    const known = inBase.get(name)
    if (known !== undefined || !/\.so\..+$/.test(name)) return known
  }
}

/** The library that a path leads to; where it ends, when no package of this layer has that. */
function resolve(
  path: string,
  system: System,
): { readonly path: string; readonly library: LibraryFacts } | string | undefined {
  let current = path
  for (let hops = 0; hops < 40; hops++) {
    const facts = system.lookup(current)
    if (facts === undefined) return current
    if (facts.type === 'file')
      return facts.library === undefined ? undefined : { path: facts.path, library: facts.library }
    if (facts.target === undefined) return undefined
    const { target } = facts
    const folder = facts.path.slice(0, facts.path.lastIndexOf('/'))
    current = system.place(target.startsWith('/') ? target : normalise(`${folder}/${target}`))
  }
  return undefined
}

function normalise(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}

/**
 * Orders library names as the loader's search expects: runs of digits by value, digits after other characters.
 *
 * @see glibc, elf/dl-cache.c, _dl_cache_libcmp
 */
export function compareLibraryNames(a: string, b: string): number {
  let i = 0
  let j = 0
  while (i < a.length) {
    const left = a.charCodeAt(i)
    const right = j < b.length ? b.charCodeAt(j) : 0
    if (isDigit(left)) {
      if (!isDigit(right)) return 1
      const one = /^\d+/.exec(a.slice(i))?.[0] ?? ''
      const two = /^\d+/.exec(b.slice(j))?.[0] ?? ''
      if (Number(one) !== Number(two)) return Number(one) - Number(two)
      i += one.length
      j += two.length
    } else if (isDigit(right)) return -1
    else if (left !== right) return left - right
    else {
      i++
      j++
    }
  }
  return j < b.length ? -b.charCodeAt(j) : 0
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** Writes a cache in the format of glibc 2.33 and newer (which older ones read too). */
export function formatLoaderCache(entries: readonly CacheEntry[], generator: string): Buffer {
  const sorted = entries
    .map((entry, position) => ({ ...entry, position }))
    .sort((a, b) => compareLibraryNames(b.soname, a.soname) || b.flags - a.flags || a.position - b.position)
  const stringsOffset = HEADER_BYTES + ENTRY_BYTES * sorted.length
  const strings = new StringTable(stringsOffset)
  const table = Buffer.alloc(ENTRY_BYTES * sorted.length)
  for (const [index, { soname, path, flags }] of sorted.entries()) {
    table.writeInt32LE(flags, index * ENTRY_BYTES)
    // The name is the end of the path, so both share their bytes.
    const at = strings.add(path)
    table.writeUInt32LE(at + path.length - soname.length, index * ENTRY_BYTES + 4)
    table.writeUInt32LE(at, index * ENTRY_BYTES + 8)
  }
  const text = strings.bytes()
  const extensionOffset = Math.ceil((stringsOffset + text.length) / 4) * 4
  const header = Buffer.alloc(HEADER_BYTES)
  header.write(MAGIC, 'latin1')
  header.writeUInt32LE(sorted.length, 20)
  header.writeUInt32LE(text.length, 24)
  header[28] = LITTLE_ENDIAN
  header.writeUInt32LE(extensionOffset, 32)
  const padding = Buffer.alloc(extensionOffset - stringsOffset - text.length)
  return Buffer.concat([header, table, text, padding, extension(extensionOffset, generator)])
}

function extension(offset: number, generator: string): Buffer {
  const directory = Buffer.alloc(24)
  directory.writeUInt32LE(EXTENSION_MAGIC, 0)
  directory.writeUInt32LE(1, 4)
  // One section: tag 0 (generator), no flags, where it is and how long.
  directory.writeUInt32LE(offset + directory.length, 16)
  directory.writeUInt32LE(generator.length, 20)
  return Buffer.concat([directory, Buffer.from(generator, 'latin1')])
}

class StringTable {
  readonly #start: number
  readonly #parts: Buffer[] = []
  readonly #known = new Map<string, number>()
  #sizeBytes = 0

  constructor(start: number) {
    this.#start = start
  }

  add(text: string): number {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const at = this.#start + this.#sizeBytes
    const bytes = Buffer.from(`${text}\0`)
    this.#parts.push(bytes)
    this.#sizeBytes += bytes.length
    this.#known.set(text, at)
    return at
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

/**
 * Reads the entries of a cache, in its order.
 *
 * Entries for processors with certain abilities (hwcaps) are left out; the loader falls back to searching for those.
 *
 * @throws RangeError when it is not of the new format or cut off
 */
export function parseLoaderCache(bytes: Buffer): CacheEntry[] {
  // Up to glibc 2.31 the new format may follow the old one, aligned to 8 bytes.
  const start = bytes.indexOf(MAGIC, 0, 'latin1')
  if (start === -1 || bytes.length < start + HEADER_BYTES) throw new RangeError('Not a loader cache of glibc')
  const cache = bytes.subarray(start)
  const count = cache.readUInt32LE(20)
  if (HEADER_BYTES + count * ENTRY_BYTES > cache.length) throw new RangeError('The loader cache is cut off')
  const text = (at: number): string => {
    const end = cache.indexOf(0, at)
    if (at >= cache.length || end === -1) throw new RangeError('The loader cache is cut off')
    return cache.toString('utf8', at, end)
  }
  return Array.from({ length: count }, (_, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES
    return {
      flags: cache.readInt32LE(at),
      soname: text(cache.readUInt32LE(at + 4)),
      path: text(cache.readUInt32LE(at + 8)),
      hasAbilities: cache.readBigUInt64LE(at + 16) !== 0n,
    }
  })
    .filter(({ hasAbilities }) => !hasAbilities)
    .map(({ flags, soname, path }) => ({ flags, soname, path }))
}

function generator(system: System, existing: Buffer | undefined): string {
  const version = system.package('libc-bin')?.version
  if (version !== undefined) {
    const upstream = version.replace(/^\d+:/, '').replace(/-[^-]*$/, '')
    return `ldconfig (Debian GLIBC ${version}) stable release version ${upstream}`
  }
  const kept =
    existing === undefined ? undefined : /ldconfig \([^)]*\) [\x20-\x7e]*/.exec(existing.toString('latin1'))?.[0]
  return kept ?? 'ldconfig (GNU libc) stable release'
}
