import type { Lock, PlatformLock } from './lock.ts'

/** One thing that differs between two locks. */
export interface LockChange {
  readonly platform: string
  /** `python`, `system`, `base`, `interpreter`. */
  readonly kind: 'base' | 'interpreter' | 'system' | 'python'
  readonly name: string
  /** Undefined for something new. */
  readonly from?: string | undefined
  /** Undefined for something that is gone. */
  readonly to?: string | undefined
}

/** What changed from one lock to another, by platform, kind and name; everything is new without an earlier one. */
export function diffLocks(before: Lock | undefined, after: Lock): LockChange[] {
  return after.platforms.flatMap((platform) => {
    const name = nameOf(platform)
    const old = before?.platforms.find((candidate) => nameOf(candidate) === name)
    const kinds = ['base', 'interpreter', 'system', 'python'] as const
    return kinds.flatMap((kind) => diffKind(name, kind, old, platform))
  })
}

/** Changes as lines for people: `+` new, `-` gone, `~` another version. */
export function renderLockDiff(changes: readonly LockChange[]): string {
  if (changes.length === 0) return 'nothing changed\n'
  const lines: string[] = []
  let platform = ''
  for (const change of changes) {
    if (change.platform !== platform) lines.push(change.platform)
    platform = change.platform
    lines.push(`  ${renderChange(change)}`)
  }
  return `${lines.join('\n')}\n`
}

function renderChange({ kind, name, from, to }: LockChange): string {
  const what = kind === 'python' || kind === 'system' ? `${name} (${kind})` : name
  if (from === undefined) return `+ ${what} ${to}`
  if (to === undefined) return `- ${what} ${from}`
  return `~ ${what} ${from} -> ${to}`
}

function diffKind(
  platform: string,
  kind: LockChange['kind'],
  before: PlatformLock | undefined,
  after: PlatformLock,
): LockChange[] {
  const old = before === undefined ? new Map<string, string>() : versions(before, kind)
  const now = versions(after, kind)
  const names = [...new Set([...old.keys(), ...now.keys()])].sort()
  return names.flatMap((name) => {
    const [from, to] = [old.get(name), now.get(name)]
    return from === to ? [] : [{ platform, kind, name, from, to }]
  })
}

function versions(lock: PlatformLock, kind: LockChange['kind']): Map<string, string> {
  switch (kind) {
    case 'base': {
      const { base } = lock
      return new Map([base.kind === 'image' ? [base.location, base.manifest.digest] : ['debian', base.suite]])
    }
    case 'interpreter':
      return new Map([[`python (${lock.interpreter.kind})`, lock.interpreter.version]])
    case 'system': {
      const packages = [
        ...(lock.base.kind === 'debian' ? lock.base.packages.packages : []),
        ...(lock.systemPackages?.packages ?? []),
      ]
      return new Map(packages.map(({ package: name, version }) => [name, version]))
    }
    case 'python':
      return new Map(lock.wheels.map(({ name, version }) => [name, version]))
  }
}

function nameOf({ platform }: PlatformLock): string {
  return `${platform.os}/${platform.architecture}`
}
