import table from './tables/architectures.json' with { type: 'json' }
import torchTable from './tables/torch-architectures.json' with { type: 'json' }
import { compareVersions, majorOf, minorOf } from './version.ts'

/** Why a CUDA version cannot make code for a GPU, as half a sentence; undefined when it can, or when nothing is known. */
export function cudaProblem(capability: string, cuda: string): string | undefined {
  const row = table.find((row) => row.capability === capability)
  if (row === undefined) return undefined
  if (compareVersions(cuda, row.firstCuda) < 0)
    return `${describeCapability(capability)} needs CUDA ${row.firstCuda} or newer`
  if (row.lastCudaMajor !== null && compareVersions(majorOf(cuda), row.lastCudaMajor) > 0) {
    return `CUDA ${majorOf(cuda)} dropped ${describeCapability(capability)}`
  }
  return undefined
}

/** Code for GPUs as it lies in a library: machine code for some, and PTX that newer ones compile. */
export interface GpuCode {
  /** Compute capabilities with machine code, such as `8.0`. */
  readonly capabilities: readonly string[]
  /** The oldest PTX, which every newer GPU can compile; undefined when there is none. */
  readonly ptx?: string | undefined
}

/**
 * Whether code runs on a GPU: machine code of the same major and no newer minor, or older PTX.
 *
 * @see CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility"
 */
export function runsOn(code: GpuCode, capability: string): boolean {
  const native = code.capabilities.some(
    (own) => majorOf(own) === majorOf(capability) && compareVersions(own, capability) <= 0,
  )
  return native || (code.ptx !== undefined && compareVersions(code.ptx, capability) <= 0)
}

/** The GPUs that a torch build has code for, if it is known. */
export function torchCode(build: string, torch: string): GpuCode | undefined {
  const rows: readonly { build: string; torch?: string; capabilities: string[]; ptx: string | null }[] = torchTable
  const candidates = rows.filter((row) => row.build === build)
  const row =
    candidates.find((row) => row.torch === minorOf(torch)) ?? candidates.find((row) => row.torch === undefined)
  return row === undefined ? undefined : { capabilities: row.capabilities, ptx: row.ptx ?? undefined }
}

/** `9.0 (Hopper, H100, H200)`. */
export function describeCapability(capability: string): string {
  const row = table.find((row) => row.capability === capability)
  return row === undefined ? `GPU architecture ${capability}` : `GPU architecture ${capability} (${row.name})`
}
