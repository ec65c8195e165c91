import { parseStanza } from '../deb822.ts'
import { formatStatusStanza } from '../status.ts'
import { DIVERSIONS_FILE } from '../diversions.ts'
import type { PlacedPackage, System } from './system.ts'

const INFO = 'var/lib/dpkg/info'
const STATUS = 'var/lib/dpkg/status'
const STATUS_FOLDER = 'var/lib/dpkg/status.d'

/**
 * Registers the packages in dpkg's database, so that dpkg, apt and image scanners know them as installed.
 *
 * A base without `status` but with `status.d` (distroless) gets entries there.
 */
export function dpkgDatabase(system: System): void {
  const isDistroless =
    !system.base.has(STATUS) && [...system.base.keys()].some((path) => path.startsWith(`${STATUS_FOLDER}/`))
  const owners = ownersOf(system)
  removeOldFiles(system, owners)
  for (const facts of system.packages) {
    if (isDistroless) registerInFolder(facts, system)
    else registerInfo(facts, owners, system)
  }
  if (isDistroless) return
  system.write(STATUS, mergedStatus(system))
  if (!system.base.has(STATUS)) {
    system.write(`${INFO}/format`, '1\n')
    system.write('var/lib/dpkg/available', '')
  }
  writeTriggers(system)
  writeDiversions(system)
}

/** Name of a package's files under `info`: with the architecture where two of them may be installed side by side. */
function infoName({ package: name, architecture, controlText }: PlacedPackage): string {
  return parseStanza(controlText).get('multi-arch') === 'same' ? `${name}:${architecture}` : name
}

function registerInFolder(facts: PlacedPackage, system: System): void {
  system.write(`${STATUS_FOLDER}/${facts.package}`, formatStatusStanza(facts.controlText, facts.conffiles))
  const digests = facts.controlFiles.get('md5sums')
  if (digests !== undefined) system.write(`${STATUS_FOLDER}/${facts.package}.md5sums`, digests)
}

function registerInfo(facts: PlacedPackage, owners: ReadonlyMap<string, PlacedPackage>, system: System): void {
  const name = infoName(facts)
  const listed = facts.paths
    .filter(({ path, type }) => type === 'directory' || owners.get(path) === facts)
    .map((path) => `/${path.listed}\n`)
  system.write(`${INFO}/${name}.list`, `/.\n${listed.join('')}`)
  for (const [file, content] of facts.controlFiles) {
    const isScript = /^(preinst|postinst|prerm|postrm|config)$/.test(file)
    system.write(`${INFO}/${name}.${file}`, content, { mode: isScript ? 0o755 : 0o644 })
  }
}

/** Which package each path belongs to when two have it: the one that replaces the other. */
function ownersOf(system: System): Map<string, PlacedPackage> {
  const owners = new Map<string, PlacedPackage>()
  for (const facts of system.packages) {
    for (const { path, type } of facts.paths) {
      const other = owners.get(path)
      if (type === 'directory' || (other !== undefined && replaces(other, facts.package))) continue
      owners.set(path, facts)
    }
  }
  return owners
}

function replaces(facts: PlacedPackage, name: string): boolean {
  const field = parseStanza(facts.controlText).get('replaces') ?? ''
  return field.split(/[,|]/).some((relation) => relation.trim().split(/[\s(:]/)[0] === name)
}

// An upgrade leaves behind what the old version had and the new one has not.
function removeOldFiles(system: System, owners: ReadonlyMap<string, PlacedPackage>): void {
  for (const facts of system.packages) {
    const before = system.base.get(`${INFO}/${infoName(facts)}.list`)?.toString('utf8')
    if (before === undefined) continue
    const kept = new Set(facts.conffiles.map(({ path }) => path))
    const folders = new Set(facts.paths.filter(({ type }) => type === 'directory').map(({ path }) => path))
    const lines = before.split('\n').filter((line) => line.startsWith('/') && line !== '/.')
    const parents = new Set(lines.map((line) => line.slice(0, line.lastIndexOf('/'))))
    for (const line of lines) {
      const path = parents.has(line) ? system.place(line) : system.placeOf(line, facts.package)
      const isFolder = parents.has(line) || folders.has(path)
      if (!isFolder && !owners.has(path) && !kept.has(path) && !path.startsWith('etc/')) system.remove(path)
    }
  }
}

function mergedStatus(system: System): string {
  const stanzas = new Map<string, string>()
  for (const text of (system.base.get(STATUS)?.toString('utf8') ?? '').split(/\n{2,}/)) {
    const name = /^Package: *(\S+)/m.exec(text)?.[1]
    if (name !== undefined) stanzas.set(`${name} ${/^Architecture: *(\S+)/m.exec(text)?.[1] ?? ''}`, `${text.trim()}\n`)
  }
  for (const { package: name, architecture, controlText, conffiles } of system.packages) {
    stanzas.set(`${name} ${architecture}`, formatStatusStanza(controlText, conffiles))
  }
  const sorted = [...stanzas].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text)
  return sorted.map((text) => `${text}\n`).join('')
}

// deb-triggers(5): who wants to hear of what; dpkg keeps it apart from the packages' own files.
function writeTriggers(system: System): void {
  const files: string[] = []
  const named = new Map<string, string[]>()
  for (const facts of system.packages) {
    for (const line of (facts.controlFiles.get('triggers')?.toString('utf8') ?? '').split('\n')) {
      const [directive, trigger] = line.trim().split(/\s+/)
      if (trigger === undefined || !directive?.startsWith('interest')) continue
      const owner = infoName(facts) + (directive === 'interest-noawait' ? '/noawait' : '')
      if (trigger.startsWith('/')) files.push(`${trigger} ${owner}`)
      else named.set(trigger, [...(named.get(trigger) ?? []), owner])
    }
  }
  const folder = 'var/lib/dpkg/triggers'
  const isNew = !system.base.has(STATUS)
  if (files.length > 0 || isNew) system.write(`${folder}/File`, appended(system, `${folder}/File`, files))
  for (const [name, lines] of named) {
    if (!name.includes('/')) system.write(`${folder}/${name}`, appended(system, `${folder}/${name}`, lines))
  }
  if (isNew) system.write(`${folder}/Unincorp`, '')
}

function appended(system: System, path: string, lines: readonly string[]): string {
  const before = (system.base.get(path)?.toString('utf8') ?? '').split('\n').filter((line) => line !== '')
  return [...new Set([...before, ...lines])].map((line) => `${line}\n`).join('')
}

/** Diversions that packages' scripts register without moving a file of another package. */
const DIVERSIONS: Readonly<Record<string, readonly (readonly [from: string, to: string])[]>> = {
  dash: [
    ['/bin/sh', '/bin/sh.distrib'],
    ['/usr/share/man/man1/sh.1.gz', '/usr/share/man/man1/sh.distrib.1.gz'],
  ],
}

function writeDiversions(system: System): void {
  const path = DIVERSIONS_FILE
  const added: string[] = []
  for (const [name, diversions] of Object.entries(DIVERSIONS)) {
    // trixie's dash no longer diverts: only a script that says so counts.
    const script = system.package(name)?.controlFiles.get('postinst')
    if (script?.includes('dpkg-divert') === true)
      for (const [from, to] of diversions) added.push(`${from}\n${to}\n${name}\n`)
  }
  const before = system.base.get(path)?.toString('utf8')
  if (added.length > 0 || before === undefined) {
    const missing = added.filter((diversion) => before?.includes(diversion) !== true)
    system.write(path, `${before ?? ''}${missing.join('')}`)
  }
}
