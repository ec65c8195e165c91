import { meantPackage } from '../core/package-names.ts'
import type { ListedFile, Project } from './index/client.ts'
import { refusedVersions, type RefusalSource, type RefusedVersion } from './refusals.ts'
import type { ResolveHint } from './resolve-error.ts'
import type { LoadedProject } from './loaded-project.ts'
import type { Incompatibility, PackageKey } from './solver/incompatibility.ts'
import { fullPythonVersion } from './target.ts'

/** What hints are made from. */
export interface HintSource extends RefusalSource {
  readonly excludeNewer: string | undefined
  loaded(key: PackageKey): LoadedProject | undefined
}

/**
 * What might help, from the facts that a proof rests on; each thing once, in the order of the proof.
 *
 * @param unknown packages beside the proof that no index has
 */
export function hintsFor(
  proof: Incompatibility,
  source: HintSource,
  unknown: readonly LoadedProject[] = [],
): readonly ResolveHint[] {
  const hints = new Map<string, ResolveHint>()
  for (const hint of collectHints(proof, source, new Set())) hints.set(JSON.stringify(hint), hint)
  for (const { project } of unknown) for (const hint of indexHints(project)) hints.set(JSON.stringify(hint), hint)
  return [...hints.values()]
}

function* collectHints(
  incompatibility: Incompatibility,
  source: HintSource,
  seen: Set<Incompatibility>,
): Generator<ResolveHint> {
  if (seen.has(incompatibility)) return
  seen.add(incompatibility)
  const { cause } = incompatibility
  if (cause.kind === 'conflict') {
    yield* collectHints(cause.left, source, seen)
    yield* collectHints(cause.right, source, seen)
  } else if (cause.kind === 'unmet') {
    const loaded = source.loaded(cause.dependency)
    if (loaded !== undefined) yield* indexHints(loaded.project)
  } else if (cause.kind === 'unusable') {
    const loaded = source.loaded(cause.package)
    const set = incompatibility.terms.get(cause.package)
    if (loaded === undefined || set === undefined) return
    yield* refusalHints(loaded.name, refusedVersions(source, loaded, set), source)
    yield* indexHints(loaded.project)
  }
}

function* indexHints({ name, asked, unasked }: Project): Generator<ResolveHint> {
  const found = asked.find(({ answer }) => answer === 'found')
  const meant = found === undefined ? meantPackage(name) : undefined
  if (meant !== undefined) yield { kind: 'similar-name', name, meant }
  if (found !== undefined && unasked.length > 0) yield { kind: 'unasked-index', name, asked: found.url, unasked }
  for (const { url, answer } of asked) {
    if (answer === 'denied') yield { kind: 'index-denied', name, index: url }
    if (answer === 'no-place') yield { kind: 'links-missing', name, place: url }
    if (answer === 'not-cached') yield { kind: 'offline', name }
  }
}

function* refusalHints(name: string, refused: readonly RefusedVersion[], source: HintSource): Generator<ResolveHint> {
  const textsOf = (kind: string): readonly string[] =>
    refused
      .filter(({ nearest }) => nearest.kind === kind)
      .map(({ version }) => version.text)
      .reverse()
  // Newest first: that is the one people mean.
  for (const { version, nearest, files } of refused.toReversed().slice(0, 1)) {
    if (nearest.kind === 'tag') {
      const wheels = files.flatMap(({ refusal }) => (refusal.kind === 'tag' ? [refusal] : []))
      const near = wheels.filter(({ mismatch }) => mismatch === nearest.mismatch)
      const part = ({ wheel }: (typeof near)[number]): readonly string[] =>
        nearest.mismatch === 'platform' ? wheel.platforms : nearest.mismatch === 'python' ? wheel.pythons : wheel.abis
      const available = [...new Set(near.flatMap(part))].sort()
      yield { kind: 'wheel-tags', name, version: version.text, mismatch: nearest.mismatch, available }
    }
    if (nearest.kind === 'python') {
      const target = fullPythonVersion(source.target.pythonVersion)
      yield { kind: 'requires-python', name, version: version.text, requiresPython: nearest.requiresPython, target }
    }
    if (nearest.kind === 'hash') {
      const hashed = files.filter(({ refusal }) => refusal.kind === 'hash')
      const listed = hashed.map(({ file }) => `${formatHashes(file)} ${file.filename}`)
      yield { kind: 'hashes', name, version: version.text, isStated: nearest.isStated, listed }
    }
    if (nearest.kind === 'yanked') yield { kind: 'yanked', name, versions: textsOf('yanked'), reason: nearest.reason }
    if (nearest.kind === 'source') {
      const sources = files.filter(({ refusal }) => refusal.kind === 'source').map(({ file }) => file.url)
      yield {
        kind: 'source-only',
        name,
        versions: textsOf('source'),
        sources,
        ...(nearest.isUnproven ? { isUnproven: true } : {}),
      }
    }
    if (nearest.kind === 'too-new' && source.excludeNewer !== undefined) {
      yield { kind: 'exclude-newer', name, versions: textsOf('too-new'), excludeNewer: source.excludeNewer }
    }
  }
}

function formatHashes({ hashes }: ListedFile): string {
  const [hash] = Object.entries(hashes)
  return hash === undefined ? 'no hash for' : hash.join(':')
}
