import table from './tables/drivers.json' with { type: 'json' }
import { compareVersions, majorOf, minorOf, newest } from './version.ts'

/** Driver that is assumed when none is stated: the oldest that runs CUDA 12. */
export const DEFAULT_MIN_DRIVER = '525.60.13'

/** Oldest drivers that run every version of a CUDA family (minor-version compatibility). */
const FAMILY_FLOORS: Readonly<Record<string, string>> = { '11': '450.80.02', '12': '525.60.13', '13': '580.65.06' }

/**
 * The oldest driver that runs a CUDA version, by minor-version compatibility within its family.
 *
 * @returns undefined for a family that is not known
 */
export function driverFloor(cuda: string): string | undefined {
  return FAMILY_FLOORS[majorOf(cuda)]
}

/** The driver that a CUDA version was released with; older ones of the family run it without PTX compilation. */
export function releaseDriver(cuda: string): string | undefined {
  const rows = table.filter((row) => (cuda.split('.').length > 2 ? row.cuda === cuda : minorOf(row.cuda) === cuda))
  return rows.toSorted((a, b) => compareVersions(a.driver, b.driver))[0]?.driver
}

/** The newest CUDA family that a driver runs, such as `12`. */
export function newestFamily(driver: string): string | undefined {
  return newest(Object.keys(FAMILY_FLOORS).filter((family) => runsFamily(driver, family)))
}

/** Whether a driver runs the versions of a CUDA family; unknown families count as too new. */
export function runsFamily(driver: string, family: string): boolean {
  const floor = FAMILY_FLOORS[family]
  return floor !== undefined && compareDrivers(driver, floor) >= 0
}

/** The newest CUDA version that a driver runs natively; what `nvidia-smi` shows. */
export function cudaOfDriver(driver: string): string | undefined {
  return newest(table.filter((row) => compareDrivers(driver, row.driver) >= 0).map((row) => minorOf(row.cuda)))
}

/** Compares drivers; `535` alone stands for the whole branch and so for its newest. */
export function compareDrivers(a: string, b: string): number {
  const isBranch = (driver: string): boolean => !driver.includes('.')
  if (majorOf(a) === majorOf(b))
    return isBranch(a) && isBranch(b) ? 0 : isBranch(a) ? 1 : isBranch(b) ? -1 : compareVersions(a, b)
  return compareVersions(a, b)
}
