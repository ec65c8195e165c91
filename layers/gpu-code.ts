import type { Cache } from '../src/core/cache.ts'
import { BuildError } from '../src/core/errors.ts'
import { groupBy } from '../src/core/group-by.ts'
import { describeCapability, runsOn } from '../src/compat/index.ts'
import type { LayerContext } from './context.ts'
import type { LayerSpec } from './kinds/index.ts'
import { loadClaims, loadLibraries } from './notes.ts'

/** For which GPUs the libraries of a package have code. */
export interface GpuCodeOfPackage {
  /** `name version`. */
  readonly package: string
  /** Machine code (`sm_90`) and portable code (`compute_90`), sorted. */
  readonly architectures: readonly string[]
}

/**
 * The packages with code for GPUs, in order of their layers, as far as their layers were made or are known here.
 *
 * Counted for each package and not for each library: kernels for one GPU often lie in a library of their own, which is loaded
 * there alone.
 */
export async function gpuCodeOf(
  specs: readonly LayerSpec[],
  context: Pick<LayerContext, 'compression' | 'mtimeSeconds'>,
  notes: Cache,
): Promise<readonly GpuCodeOfPackage[]> {
  const found: GpuCodeOfPackage[] = []
  for (const spec of specs) {
    if (spec.kind !== 'wheels') continue
    const libraries = (await loadLibraries(spec, context, notes)) ?? []
    const withCode = libraries.filter(({ cudaArchitectures }) => cudaArchitectures.length > 0)
    if (withCode.length === 0) continue
    const claims = (await loadClaims(spec, context, notes)) ?? []
    const packages = new Map(claims.map((claim) => [claim.path, claim.package]))
    for (const [name, own] of groupBy(withCode, ({ path }) => packages.get(path) ?? path)) {
      const architectures = new Set(own.flatMap(({ cudaArchitectures }) => cudaArchitectures))
      found.push({
        package: name,
        architectures: [...architectures].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })),
      })
    }
  }
  return found
}

/**
 * Refuses packages that have code for some GPUs and for none of a target.
 *
 * @param targets compute capabilities, such as `9.0`
 * @throws BuildError ENVIRONMENT_CONFLICT naming each package and target
 */
export function assertGpuCode(packages: readonly GpuCodeOfPackage[], targets: readonly string[]): void {
  const uncovered = findUncovered(packages, targets)
  if (uncovered.length === 0) return
  const lines = uncovered.map(
    ({ package: name, target, architectures }) =>
      `${name} has no code for ${describeCapability(target)}: only ${architectures.join(', ')}`,
  )
  throw new BuildError('ENVIRONMENT_CONFLICT', lines.join('\n  '), {
    hint: 'Choose a version or build that has it, or change `build.targets.architectures`.',
    data: { uncovered },
  })
}

/** Whether layers of wheels were all made or are known here, and none of their packages lacks code for a target. */
export async function isGpuCodeKnown(
  specs: readonly LayerSpec[],
  targets: readonly string[],
  notes: Cache,
): Promise<boolean> {
  const wheels = specs.filter(({ kind }) => kind === 'wheels')
  for (const spec of wheels) if ((await loadLibraries(spec, {}, notes)) === undefined) return false
  return findUncovered(await gpuCodeOf(wheels, {}, notes), targets).length === 0
}

function findUncovered(
  packages: readonly GpuCodeOfPackage[],
  targets: readonly string[],
): readonly (GpuCodeOfPackage & { readonly target: string })[] {
  return packages.flatMap(({ package: name, architectures }) => {
    const code = toGpuCode(architectures)
    return targets.flatMap((target) => (runsOn(code, target) ? [] : [{ package: name, target, architectures }]))
  })
}

function toGpuCode(architectures: readonly string[]): Parameters<typeof runsOn>[0] {
  const capabilitiesOf = (kind: string): readonly string[] =>
    architectures.flatMap((text) => {
      const digits = new RegExp(`^${kind}_(\\d+)(\\d)`).exec(text)
      return digits === null ? [] : [`${digits[1]}.${digits[2]}`]
    })
  const portable = [...capabilitiesOf('compute')].sort((a, b) => Number(a) - Number(b))
  return { capabilities: capabilitiesOf('sm'), ptx: portable[0] }
}
