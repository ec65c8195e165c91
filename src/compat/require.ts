import table from './tables/cuda-require.json' with { type: 'json' }
import { compareDrivers, cudaOfDriver } from './drivers.ts'
import { compareVersions, minorOf } from './version.ts'

const BRANDS: Readonly<Record<string, readonly string[]>> = {
  tesla: ['tesla'],
  ten: ['tesla', 'unknown', 'nvidia', 'nvidiartx', 'geforce', 'geforcertx', 'quadro', 'quadrortx', 'titan', 'titanrtx'],
  twelve: [
    'unknown',
    'grid',
    'tesla',
    'nvidia',
    'quadro',
    'quadrortx',
    'nvidiartx',
    'vapps',
    'vpc',
    'vcs',
    'vws',
    'cloudgaming',
  ],
}

/** A row of the table, as JSON has it. */
interface RequireRow {
  readonly cuda: string
  /** Driver branch and the brands whose GPUs run this CUDA on it through the compatibility libraries. */
  readonly branches: readonly (readonly (string | number)[])[]
  readonly driver?: number
}

const ROWS: readonly RequireRow[] = table

/**
 * The variable `NVIDIA_REQUIRE_CUDA` of the nvidia/cuda images, byte for byte.
 *
 * It holds where the image has NVIDIA's compatibility libraries: older driver branches are let in for them.
 *
 * @returns undefined for a version of which the text is not known
 */
export function requireCuda(cuda: string): string | undefined {
  const row = ROWS.find((row) => row.cuda === cuda) ?? ROWS.findLast((row) => minorOf(row.cuda) === minorOf(cuda))
  if (row === undefined) return undefined
  const terms = row.branches.flatMap(([branch, brands]) =>
    (BRANDS[String(brands)] ?? []).map((brand) => `brand=${brand},driver>=${branch},driver<${Number(branch) + 1}`),
  )
  return [`cuda>=${minorOf(cuda)}`, ...terms, ...(row.driver === undefined ? [] : [`driver>=${row.driver}`])].join(' ')
}

/**
 * The requirement of an image without the compatibility libraries: the driver floor alone.
 *
 * @param floor  oldest driver, such as `525.60.13`
 */
export function requireDriver(floor: string): string {
  return `driver>=${floor}`
}

/** What a host offers. */
export interface GpuHost {
  readonly driver: string
  /** CUDA version of the driver; told from the driver unless given. */
  readonly cuda?: string | undefined
  /** Such as `tesla` or `geforce`. */
  readonly brand?: string | undefined
  /** Compute capability, such as `9.0`. */
  readonly arch?: string | undefined
}

/** The answer to a requirement. */
export interface RequirementResult {
  readonly satisfied: boolean
  /** The alternative that holds, when one does. */
  readonly by?: string
}

/**
 * Evaluates one `NVIDIA_REQUIRE_*` variable as the NVIDIA container toolkit does.
 *
 * A space is "or", a comma is "and". Properties are cuda, driver, arch and brand; terms with others are skipped. A property
 * that the host does not tell satisfies no term.
 *
 * @throws RangeError for a term without an operator
 */
export function evaluateRequirement(requirement: string, host: GpuHost): RequirementResult {
  const alternatives = requirement.split(' ').filter((text) => text !== '')
  if (alternatives.length === 0) return { satisfied: true }
  const by = alternatives.find((alternative) => alternative.split(',').every((term) => holds(term, host)))
  return by === undefined ? { satisfied: false } : { satisfied: true, by }
}

function holds(term: string, host: GpuHost): boolean {
  const [, property = '', operator = '', wanted = ''] = /^([^<>=!]+)(<=|>=|!=|<|>|=)(.+)$/.exec(term) ?? []
  if (operator === '') throw new RangeError(`This is not a requirement: ${term}`)
  if (property === 'brand')
    return (
      host.brand !== undefined &&
      compares(host.brand === wanted ? 0 : 1, operator === '=' || operator === '!=' ? operator : '=')
    )
  const actual = propertyOf(property, host)
  if (actual === 'unknown property') return true
  if (actual === undefined) return false
  // A toolkit compares part by part: `driver<536` holds for every 535.
  return compares(
    property === 'driver' ? compareDrivers(actual, padded(wanted)) : compareVersions(actual, wanted),
    operator,
  )
}

function propertyOf(property: string, host: GpuHost): string | undefined {
  switch (property) {
    case 'driver':
      return host.driver
    case 'cuda':
      return host.cuda ?? cudaOfDriver(host.driver)
    case 'arch':
      return host.arch
    default:
      return 'unknown property'
  }
}

/** In a requirement `535` is where the branch starts. */
function padded(driver: string): string {
  return driver.includes('.') ? driver : `${driver}.0`
}

function compares(difference: number, operator: string): boolean {
  switch (operator) {
    case '<':
      return difference < 0
    case '<=':
      return difference <= 0
    case '>':
      return difference > 0
    case '>=':
      return difference >= 0
    case '!=':
      return difference !== 0
    default:
      return difference === 0
  }
}
