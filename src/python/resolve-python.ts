import type { Cache } from '../core/cache.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Http } from '../core/http.ts'
import { silent, type Report } from '../core/progress.ts'
import { completeFile, directWheels } from './direct-wheel.ts'
import { hintsFor } from './hints.ts'
import { IndexClient } from './index/client.ts'
import { isInstalled } from './installed.ts'
import type { LockedWheel, PythonLock } from './lock.ts'
import type { ResolutionInput } from './resolution-input.ts'
import { ResolutionSource } from './resolution-source.ts'
import { ResolveError, type ResolveHint } from './resolve-error.ts'
import { explain } from './solver/explain.ts'
import { ROOT, type Incompatibility } from './solver/incompatibility.ts'
import { solve, type Solution } from './solver/pubgrub.ts'
import type { SourceReader } from './source-package.ts'

/** What a resolution works with; everything but `http` has a default. */
export interface ResolutionContext {
  readonly http: Http
  readonly cache?: Cache | undefined
  /** Headers for a URL, such as `authorization`. */
  readonly headers?: ((url: string) => Promise<Readonly<Record<string, string>>>) | undefined
  readonly isOffline?: boolean | undefined
  /** How long an index page is used again without asking; 10 minutes unless given. */
  readonly freshMs?: number | undefined
  readonly now?: (() => number) | undefined
  readonly concurrency?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Told about extras that do not exist and yanked releases that were pinned. */
  readonly report?: Report | undefined
  /** Describes packages that have no wheel; they are refused unless given. */
  readonly sources?: SourceReader | undefined
}

/**
 * Finds one wheel, or else the source of one, for every package that the requirements need on a target.
 *
 * The same input and the same answers of the indexes give the same lock, whatever order the answers come in.
 *
 * @throws ResolveError RESOLVE_CONFLICT, WHEEL_NOT_FOUND, PACKAGE_NOT_FOUND when nothing satisfies the requirements
 * @throws ResolveError INDEX_DENIED, OFFLINE when what is missing may lie in an index that could not be read
 * @throws BuildError INDEX_DENIED, INDEX_FAILED, INDEX_UNAVAILABLE, NETWORK_FAILED, OFFLINE, NOT_SUPPORTED
 */
export async function resolvePython(input: ResolutionInput, context: ResolutionContext): Promise<PythonLock> {
  const client = new IndexClient(input.indexes, context)
  const { sources } = context
  const source = new ResolutionSource(client, input, await directWheels(input, client.remote, sources), sources)
  source.prefetch()
  try {
    const solution = await solve(source, context.signal)
    if (solution.kind === 'unsolvable') throw failure(solution.proof, source)
    const { installed, missing } = splitInstalled(solution.versions, source)
    const packages = await lockPackages(missing, source, client)
    await warn(packages, solution.versions, source, context.report ?? silent)
    return { target: input.target, packages, ...(installed.length === 0 ? {} : { installed }) }
  } finally {
    await client.settle()
  }
}

/** Parts what the target has already from what must be brought. */
function splitInstalled(
  versions: Versions,
  source: ResolutionSource,
): { readonly installed: NonNullable<PythonLock['installed']>; readonly missing: Versions } {
  const installed = [...versions].flatMap(([name, index]) => {
    const version = source.loaded(name)?.versions[index]
    const file = version === undefined || name.includes('[') ? undefined : source.fileOf(version, name)
    return version !== undefined && file !== undefined && isInstalled(file) ? [{ name, version: version.text }] : []
  })
  const names = new Set(installed.map(({ name }) => name))
  return {
    installed: installed.sort((a, b) => (a.name < b.name ? -1 : 1)),
    missing: new Map([...versions].filter(([key]) => !names.has(source.baseOf(key)))),
  }
}

type Versions = Extract<Solution, { kind: 'solved' }>['versions']

async function lockPackages(
  versions: Versions,
  source: ResolutionSource,
  client: IndexClient,
): Promise<readonly LockedWheel[]> {
  const extras = new Map<string, string[]>()
  for (const key of versions.keys()) {
    const [, name = '', extra = ''] = /^(.*)\[(.*)\]$/.exec(key) ?? []
    if (extra !== '') extras.set(name, [...(extras.get(name) ?? []), extra])
  }
  const names = [...versions.keys()].filter((key) => key !== ROOT && !key.includes('[')).sort()
  return Promise.all(
    names.map((name) =>
      lockPackage(name, versions.get(name) ?? 0, (extras.get(name) ?? []).sort(), versions, source, client),
    ),
  )
}

async function lockPackage(
  name: string,
  index: number,
  extras: readonly string[],
  chosen: ReadonlyMap<string, number>,
  source: ResolutionSource,
  client: IndexClient,
): Promise<LockedWheel> {
  const loaded = source.loaded(name)
  const version = loaded?.versions[index]
  const file = version === undefined ? undefined : source.fileOf(version, name)
  if (loaded === undefined || version === undefined || file === undefined) throw new RangeError(`${name} has no file`)
  const metadata = await source.metadataOf(loaded, index)
  const required = source.requirementsFor(metadata, extras).map((requirement) => requirement.name)
  const described = await source.describedOf(version, name)
  return {
    name,
    version: version.text,
    filename: file.filename,
    ...(described === undefined
      ? await completeFile(file, client.remote, source.unprovenHashes(name, file))
      : described.file),
    ...(file.index === '' ? { isDirect: true } : { index: file.index }),
    requested: source.roots.some(({ requirement }) => requirement.name === name),
    ...(extras.length === 0 ? {} : { extras }),
    dependencies: [...new Set(required)].filter((other) => other !== name && chosen.has(other)).sort(),
    ...(file.uploadTime === undefined ? {} : { uploadTime: file.uploadTime }),
    ...(file.yanked === undefined ? {} : { yanked: file.yanked }),
    ...(described === undefined ? {} : { source: described.source }),
  }
}

/** Tells what is odd about a lock and yet no error. */
async function warn(
  packages: readonly LockedWheel[],
  versions: ReadonlyMap<string, number>,
  source: ResolutionSource,
  report: Report,
): Promise<void> {
  const note = (code: string, text: string): void => report({ type: 'note', level: 'warning', code, text })
  for (const { name, version, extras = [], yanked } of packages) {
    if (yanked !== undefined) {
      note('YANKED', `\`${name}\` ${version} was yanked by its authors${yanked === '' ? '' : `: ${yanked}`}`)
    }
    const loaded = source.loaded(name)
    if (extras.length === 0 || loaded === undefined) continue
    const { providesExtra } = await source.metadataOf(loaded, versions.get(name) ?? 0)
    for (const extra of extras) {
      if (providesExtra.includes(extra)) continue
      note('EXTRA_UNKNOWN', `\`${name}\` ${version} has no extra \`${extra}\`; nothing is added for it`)
    }
  }
}

function failure(proof: Incompatibility, source: ResolutionSource): ResolveError {
  const sentences = explain(proof, {
    versionsOf: (key) => source.loaded(key)?.versions.map(({ text }) => text) ?? [],
    labelOf: (key, set) => source.labelOf(key, set),
  })
  // One proof is enough for the solver, but whoever has misspelt two names wants to hear of both.
  const others = source.unknownRoots().filter(({ name }) => !namesUnknown(proof, name))
  const hints = hintsFor(proof, source, others)
  const all = [...sentences, ...others.map(({ text }) => `You require \`${text}\`, which no index has.`)]
  const code = failureCode(proof, hints)
  // Whether the one that refused access has it nobody knows.
  const told = code === 'INDEX_DENIED' ? all.map((text) => text.replace(UNKNOWN, ', which no index shows')) : all
  return new ResolveError(code, told, hints)
}

const UNKNOWN = /, which no index has\b/

/** Whether a proof tells already that no index has a package. */
function namesUnknown({ cause }: Incompatibility, name: string): boolean {
  if (cause.kind === 'conflict') return namesUnknown(cause.left, name) || namesUnknown(cause.right, name)
  return cause.kind === 'unmet' && cause.why.kind === 'not-found' && cause.dependency === name
}

/** One missing thing is named as such; everything else is a conflict. */
function failureCode(proof: Incompatibility, hints: readonly ResolveHint[]): ErrorCode {
  if (hints.some(({ kind }) => kind === 'index-denied')) return 'INDEX_DENIED'
  if (hints.some(({ kind }) => kind === 'offline')) return 'OFFLINE'
  const kinds = new Set(causesOf(proof))
  if (kinds.has('not-found')) return 'PACKAGE_NOT_FOUND'
  return kinds.has('unusable') ? 'WHEEL_NOT_FOUND' : 'RESOLVE_CONFLICT'
}

function* causesOf({ cause }: Incompatibility): Generator<string> {
  if (cause.kind === 'conflict') {
    yield* causesOf(cause.left)
    yield* causesOf(cause.right)
  } else {
    yield cause.kind === 'unmet' ? cause.why.kind : cause.kind
  }
}
