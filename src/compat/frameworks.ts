import defaults from '../core/defaults.json' with { type: 'json' }
import tensorflowTable from './tables/tensorflow.json' with { type: 'json' }
import torchDefaultTable from './tables/torch-default.json' with { type: 'json' }
import torchTable from './tables/torch.json' with { type: 'json' }
import { compareVersions, minorOf } from './version.ts'

/** What the project asks of a package that decides the environment. */
export interface FrameworkRequirement {
  /** Normalised name, such as `torch`. */
  readonly name: string
  /** The version of an `==` pin, without its local part. */
  readonly pinned?: string | undefined
  /** The local part of the pin, such as `cu118`. */
  readonly local?: string | undefined
  readonly extras?: readonly string[] | undefined
  /** An index that the project itself names for this package; it wins over the table's. */
  readonly ownIndex?: string | undefined
  /** Whether the requirement admits a version. */
  accepts(version: string): boolean
}

/** A build of torch. */
export interface TorchRow {
  readonly torch: string
  /** Two parts; null for the build without CUDA. */
  readonly cuda: string | null
  /** Last part of the index address, such as `cu128`; null where the default index has it. */
  readonly index: string | null
  readonly torchvision: string
  readonly torchaudio: string
  readonly pythons: readonly string[]
}

/** A release of TensorFlow. */
export interface TensorflowRow {
  readonly tensorflow: string
  readonly cuda: string
  readonly cudnn: string
  readonly pythons: readonly string[]
}

const TORCH: readonly TorchRow[] = torchTable
const TENSORFLOW: readonly TensorflowRow[] = tensorflowTable

/** Packages that come from the torch index, and no others: it holds old copies of many more. */
export const TORCH_FAMILY: readonly string[] = ['torch', 'torchvision', 'torchaudio']

/** First release whose `and-cuda` extra brings CUDA and cuDNN as wheels that fit. */
const TENSORFLOW_AND_CUDA = '2.16'

/** What the tables say of a requirement. */
export type Known<Row> =
  /** Rows that the requirement admits. */
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
  /** A pin newer than the tables: the wheel's own metadata will tell. */
  | { readonly kind: 'newer' }
  /** A pin that no table has. */
  | { readonly kind: 'unknown'; readonly version: string }

/** Rows of torch that fit what is asked of torch, torchvision and torchaudio together; undefined when none is asked for. */
export function knownTorch(requirements: readonly FrameworkRequirement[]): Known<TorchRow> | undefined {
  const family = requirements.filter(({ name }) => TORCH_FAMILY.includes(name))
  if (family.length === 0) return undefined
  const fits = (row: TorchRow): boolean => family.every(({ name, accepts }) => accepts(versionOf(row, name)))
  const rows = TORCH.filter(fits)
  if (rows.length > 0) return { kind: 'rows', rows }
  const torch = family.find(({ name }) => name === 'torch') ?? family[0]
  const pinned = torch?.pinned
  if (torch === undefined || pinned === undefined) return { kind: 'newer' }
  // Patch releases are built as the release before them; mismatches within the family are the solver's to explain.
  const near = TORCH.filter((row) => minorOf(versionOf(row, torch.name)) === minorOf(pinned))
  if (near.length > 0)
    return { kind: 'rows', rows: near.map((row) => ({ ...row, torch: torch.name === 'torch' ? pinned : row.torch })) }
  return isNewerThanAll(
    pinned,
    TORCH.map((row) => versionOf(row, torch.name)),
  )
    ? { kind: 'newer' }
    : { kind: 'unknown', version: pinned }
}

function versionOf(row: TorchRow, name: string): string {
  if (name === 'torchvision') return row.torchvision
  return name === 'torchaudio' ? row.torchaudio : row.torch
}

/** The newest release of TensorFlow that is admitted; undefined when it is not asked for. */
export function knownTensorflow(requirements: readonly FrameworkRequirement[]): Known<TensorflowRow> | undefined {
  const asked = requirements.find(({ name }) => name === 'tensorflow')
  if (asked === undefined) return undefined
  const rows = TENSORFLOW.filter((row) => asked.accepts(row.tensorflow))
  if (rows.length > 0) return { kind: 'rows', rows: rows.slice(-1) }
  const { pinned } = asked
  if (pinned === undefined) return { kind: 'newer' }
  const near = TENSORFLOW.findLast((row) => minorOf(row.tensorflow) === minorOf(pinned))
  if (near !== undefined) return { kind: 'rows', rows: [{ ...near, tensorflow: pinned }] }
  return isNewerThanAll(
    pinned,
    TENSORFLOW.map((row) => row.tensorflow),
  )
    ? { kind: 'newer' }
    : { kind: 'unknown', version: pinned }
}

function isNewerThanAll(version: string, others: readonly string[]): boolean {
  return others.every((other) => compareVersions(version, other) > 0)
}

/** Whether a TensorFlow release brings CUDA as wheels through its `and-cuda` extra. */
export function hasAndCuda(tensorflow: string): boolean {
  return compareVersions(tensorflow, TENSORFLOW_AND_CUDA) >= 0
}

/** The address of a build's index. */
export function torchIndexUrl(build: string): string {
  return `${defaults.torchIndex}${build}/`
}

/** Whether the default index has this build of torch too, under its plain version (on linux/amd64). */
export function isDefaultBuild(torch: string, cuda: string | null): boolean {
  return torchDefaultTable.some((row) => row.torch === minorOf(torch) && row.cuda === cuda)
}

/**
 * The CUDA version in the address of a torch index: 12.8 for `.../whl/cu128/`.
 *
 * @returns undefined for addresses of builds without CUDA, and for others
 */
export function cudaOfIndexUrl(url: string): string | undefined {
  const digits = /\/cu(\d+)(\d)(?:\/|$)/.exec(url)
  return digits === null ? undefined : `${digits[1]}.${digits[2]}`
}

/** The CUDA version of a local version: 12.8 for `cu128`. */
export function cudaOfLocal(local: string): string | undefined {
  return cudaOfIndexUrl(`/${local.split('.', 1)[0]}`)
}

/** The rows that a requirement admits; none when the tables do not know it. */
export function rowsOf<Row>(known: Known<Row> | undefined): readonly Row[] {
  return known?.kind === 'rows' ? known.rows : []
}

/** The newest release of TensorFlow that is admitted. */
export function newestTensorflow(known: Known<TensorflowRow> | undefined): TensorflowRow | undefined {
  return rowsOf(known).at(-1)
}

/** The newest torch, in its newest build. */
export function newestRow(rows: readonly TorchRow[]): TorchRow | undefined {
  return rows
    .toSorted((a, b) => compareVersions(a.torch, b.torch) || compareVersions(a.cuda ?? '0', b.cuda ?? '0'))
    .at(-1)
}
