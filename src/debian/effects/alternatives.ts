import type { System } from './system.ts'

/** One `update-alternatives --install` call. */
export interface Alternative {
  readonly link: string
  readonly name: string
  readonly path: string
  readonly priority: number
  readonly slaves: readonly { readonly link: string; readonly name: string; readonly path: string }[]
}

/** A group of alternatives as dpkg's database keeps it. */
export interface AlternativeGroup {
  readonly name: string
  readonly mode: 'auto' | 'manual'
  readonly link: string
  /** Slave name -> its link. */
  readonly slaves: ReadonlyMap<string, string>
  readonly choices: readonly {
    readonly path: string
    readonly priority: number
    /** Slave name -> path; absent when this choice has none. */
    readonly slaves: ReadonlyMap<string, string>
  }[]
}

const FOLDER = 'var/lib/dpkg/alternatives'

/** Calls whose words a script computes, read once by a person. */
export const COMPUTED: Readonly<Record<string, readonly Alternative[]>> = {
  'xz-utils': [
    {
      link: '/usr/bin/lzma',
      name: 'lzma',
      path: '/usr/bin/xz',
      priority: 20,
      slaves: [
        ['unlzma', 'unxz'],
        ...['cat', 'more', 'less', 'diff', 'cmp', 'grep', 'egrep', 'fgrep'].map(
          (tool) => [`lz${tool}`, `xz${tool}`] as const,
        ),
      ].flatMap(([name = '', target = '']) => [
        { link: `/usr/bin/${name}`, name, path: `/usr/bin/${target}` },
        { link: `/usr/share/man/man1/${name}.1.gz`, name: `${name}.1.gz`, path: `/usr/share/man/man1/${target}.1.gz` },
      ]),
    },
  ],
}

/** Makes the links that packages' alternatives need, and their records. */
export function alternatives(system: System): void {
  const groups = new Map<string, AlternativeGroup>()
  for (const path of system.base.keys()) {
    if (!path.startsWith(`${FOLDER}/`)) continue
    const name = path.slice(FOLDER.length + 1)
    groups.set(name, parseAlternativeGroup(name, system.base.get(path)?.toString('utf8') ?? ''))
  }
  const changed = new Set<string>()
  for (const { package: name, controlFiles } of system.packages) {
    const script = controlFiles.get('postinst')?.toString('utf8') ?? ''
    const computed = script === '' ? [] : (COMPUTED[name] ?? [])
    for (const alternative of [...parseAlternativeCalls(script, system.architecture), ...computed]) {
      if (!system.has(alternative.path)) continue
      groups.set(alternative.name, withChoice(groups.get(alternative.name), alternative))
      changed.add(alternative.name)
    }
  }
  for (const name of [...changed].sort()) {
    const group = groups.get(name)
    if (group !== undefined) install(group, system)
  }
}

function install(group: AlternativeGroup, system: System): void {
  system.write(`${FOLDER}/${group.name}`, formatAlternativeGroup(group))
  const best = bestChoice(group)
  if (best === undefined) return
  system.link(`etc/alternatives/${group.name}`, best.path)
  system.link(group.link, `/etc/alternatives/${group.name}`)
  for (const [name, link] of group.slaves) {
    const path = best.slaves.get(name)
    if (path === undefined || !system.has(path)) continue
    system.link(`etc/alternatives/${name}`, path)
    system.link(link, `/etc/alternatives/${name}`)
  }
}

/** The choice of highest priority; of equal ones the first that was installed. */
function bestChoice(group: AlternativeGroup): AlternativeGroup['choices'][number] | undefined {
  let best: AlternativeGroup['choices'][number] | undefined
  for (const choice of group.choices) if (best === undefined || choice.priority > best.priority) best = choice
  return best
}

function withChoice(group: AlternativeGroup | undefined, alternative: Alternative): AlternativeGroup {
  const slaves = new Map(group?.slaves)
  for (const slave of alternative.slaves) slaves.set(slave.name, slave.link)
  const others = (group?.choices ?? []).filter(({ path }) => path !== alternative.path)
  const choice = {
    path: alternative.path,
    priority: alternative.priority,
    slaves: new Map(alternative.slaves.map((slave) => [slave.name, slave.path])),
  }
  return {
    name: alternative.name,
    mode: group?.mode ?? 'auto',
    link: alternative.link,
    slaves,
    choices: [...others, choice],
  }
}

/** Reads a record of dpkg's alternatives. @throws RangeError when it is damaged */
export function parseAlternativeGroup(name: string, text: string): AlternativeGroup {
  const lines = text.split('\n')
  const [mode, link] = lines
  if ((mode !== 'auto' && mode !== 'manual') || link === undefined)
    throw new RangeError(`A damaged alternative: ${name}`)
  let at = 2
  const slaves = new Map<string, string>()
  for (; lines[at] !== undefined && lines[at] !== ''; at += 2) slaves.set(lines[at] ?? '', lines[at + 1] ?? '')
  at++
  const choices: { path: string; priority: number; slaves: Map<string, string> }[] = []
  while (lines[at] !== undefined && lines[at] !== '') {
    const path = lines[at] ?? ''
    const priority = Number(lines[at + 1])
    at += 2
    const paths = new Map<string, string>()
    for (const slave of slaves.keys()) {
      if (lines[at] !== undefined && lines[at] !== '') paths.set(slave, lines[at] ?? '')
      at++
    }
    choices.push({ path, priority, slaves: paths })
  }
  return { name, mode, link, slaves, choices }
}

/** Writes a record of dpkg's alternatives: slaves and choices sorted, as update-alternatives does. */
export function formatAlternativeGroup(group: AlternativeGroup): string {
  const slaves = [...group.slaves].sort(([a], [b]) => (a < b ? -1 : 1))
  const lines = [group.mode, group.link, ...slaves.flat(), '']
  const choices = [...group.choices].sort((a, b) => (a.path < b.path ? -1 : 1))
  for (const choice of choices) {
    lines.push(choice.path, String(choice.priority), ...slaves.map(([name]) => choice.slaves.get(name) ?? ''))
  }
  return `${lines.join('\n')}\n\n`
}

/**
 * Finds the `update-alternatives --install` calls of a maintainer script.
 *
 * Understands literal words, plain variables and `for` loops over literal words; a call with anything else is left out
 * (see `hasUnreadAlternatives`).
 */
export function parseAlternativeCalls(script: string, architecture: string): Alternative[] {
  return calls(script, architecture).filter((call) => call !== undefined)
}

/** Tells whether a script has calls that {@link parseAlternativeCalls} cannot read. */
export function hasUnreadAlternatives(script: string, architecture: string): boolean {
  return calls(script, architecture).includes(undefined)
}

const MULTIARCH: Readonly<Record<string, string>> = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }

function calls(script: string, architecture: string): (Alternative | undefined)[] {
  if (!script.includes('update-alternatives')) return []
  const found: (Alternative | undefined)[] = []
  const variables = new Map<string, string>([
    ['DPKG_MAINTSCRIPT_ARCH', architecture],
    ['DEB_HOST_MULTIARCH', MULTIARCH[architecture] ?? ''],
  ])
  run(script.replaceAll(/\\\n/g, ' ').split('\n'), variables, found)
  return found
}

function run(lines: readonly string[], variables: Map<string, string>, found: (Alternative | undefined)[]): void {
  for (let at = 0; at < lines.length; at++) {
    const line = (lines[at] ?? '').trim()
    if (line.startsWith('#')) continue
    const loop = /^for\s+(\w+)\s+in\s+(.*?)\s*(?:;\s*do)?$/.exec(line)
    if (loop?.[1] !== undefined && loop[2] !== undefined) {
      const end = endOfLoop(lines, at + 1)
      const body = lines.slice(at + 1, end).map((inner) => inner.replace(/^\s*do\b/, ''))
      for (const word of expand(loop[2], variables)?.split(/\s+/) ?? []) {
        if (word !== '' && word !== ';') run(body, variables.set(loop[1], word), found)
      }
      at = end
      continue
    }
    const assignment = /^(?:local\s+|export\s+)?(\w+)=("[^"]*"|'[^']*'|[^\s;|&]*)\s*;?$/.exec(line)
    if (assignment?.[1] !== undefined) {
      const value = expand(assignment[2] ?? '', variables)
      if (value === undefined) variables.delete(assignment[1])
      else variables.set(assignment[1], value)
      continue
    }
    if (/update-alternatives\b.*--install\b/.test(line)) found.push(parseCall(line, variables))
  }
}

function endOfLoop(lines: readonly string[], start: number): number {
  let depth = 1
  for (let at = start; at < lines.length; at++) {
    if (/^\s*for\s/.test(lines[at] ?? '') || /^\s*while\s/.test(lines[at] ?? '')) depth++
    if (/^\s*done\b/.test(lines[at] ?? '') && --depth === 0) return at
  }
  return lines.length
}

function parseCall(line: string, variables: ReadonlyMap<string, string>): Alternative | undefined {
  const call = line.slice(line.indexOf('update-alternatives')).replace(/\s*(?:\|\||&&|;|\d?>).*$/, '')
  const expanded = expand(call, variables)
  if (expanded === undefined) return undefined
  const words = expanded.split(/\s+/).filter((word) => word !== '')
  const at = words.indexOf('--install')
  const [link, name, path, priority] = words.slice(at + 1, at + 5)
  if (link === undefined || name === undefined || path === undefined || !/^-?\d+$/.test(priority ?? ''))
    return undefined
  const slaves: Alternative['slaves'][number][] = []
  for (let next = at + 5; next < words.length; next++) {
    if (words[next] !== '--slave') continue
    const [slaveLink, slaveName, slavePath] = words.slice(next + 1, next + 4)
    if (slaveLink === undefined || slaveName === undefined || slavePath === undefined) return undefined
    slaves.push({ link: slaveLink, name: slaveName, path: slavePath })
    next += 3
  }
  if (!link.startsWith('/') || !path.startsWith('/') || name.includes('/')) return undefined
  return { link, name, path, priority: Number(priority), slaves }
}

// Replaces variables; undefined when one is not known or a command would have to run.
function expand(text: string, variables: ReadonlyMap<string, string>): string | undefined {
  if (/\$\(|`|\$\{\w+[^\w}]/.test(text)) return undefined
  let isKnown = true
  const expanded = text
    .replaceAll(/["']/g, '')
    .replaceAll(/\$\{(\w+)\}|\$(\w+)/g, (_, braced?: string, plain?: string) => {
      const value = variables.get(braced ?? plain ?? '')
      isKnown &&= value !== undefined
      return value ?? ''
    })
  return isKnown ? expanded : undefined
}
