import { describeCapability, cudaProblem, runsOn, torchCode } from './architectures.ts'
import { DEFAULT_MIN_DRIVER, driverFloor, newestFamily, runsFamily, compareDrivers } from './drivers.ts'
import { CompatError, type Conflict } from './error.ts'
import {
  cudaOfIndexUrl,
  cudaOfLocal,
  hasAndCuda,
  isDefaultBuild,
  knownTensorflow,
  knownTorch,
  TORCH_FAMILY,
  torchIndexUrl,
  type FrameworkRequirement,
  type Known,
  type TensorflowRow,
  type TorchRow,
} from './frameworks.ts'
import { CUDA_IMAGES, findImages, ubuntuPython, type CudaImages } from './images.ts'
import { compareVersions, majorOf, minorOf, newest } from './version.ts'

/** What is asked of the environment. */
export interface EnvironmentRequest {
  readonly gpu: boolean
  /** Two or three parts. */
  readonly cuda?: string | undefined
  readonly cudnn?: string | undefined
  readonly python?: string | undefined
  /** Requirements on packages that matter here; others may be among them. */
  readonly frameworks: readonly FrameworkRequirement[]
  /** Oldest driver to run on; 525.60.13 is assumed. */
  readonly minDriver?: string | undefined
  /** Compute capabilities to run on, such as `9.0`. */
  readonly architectures?: readonly string[] | undefined
  /** Whether the base is an nvidia/cuda image, so that there must be one; yes unless told. */
  readonly needsImage?: boolean | undefined
  /** Version of the Python that the base brings by itself when there is no CUDA image, such as `3.11`. */
  readonly basePython?: string | undefined
}

/** Versions that go together, with the reason for each. */
export interface EnvironmentChoice {
  readonly gpu: boolean
  /** Three parts where there are images of it. */
  readonly cuda?: string
  /** Major version. */
  readonly cudnn?: string
  /** Ubuntu release of the CUDA image, such as `24.04`. */
  readonly ubuntu?: string
  /** Two or three parts. */
  readonly python: string
  /** The build of torch, such as `cu128` or `cpu`; `default` for that of the default index. */
  readonly torchBuild?: string
  /** Indexes that packages must come from. */
  readonly indexes: readonly IndexPin[]
  /** Extras to add to requirements, by package. */
  readonly extras: Readonly<Record<string, readonly string[]>>
  /** Oldest driver on which this runs. */
  readonly driverFloor?: string
  /** Set when a framework is newer than the tables, so that its wheel decides: see `settleEnvironment`. */
  readonly awaitsLock: boolean
  readonly reasons: readonly Reason[]
  readonly warnings: readonly string[]
}

/** Packages that come from one index alone. */
export interface IndexPin {
  readonly packages: readonly string[]
  readonly url: string
  /** Whether the default index holds the same build on linux/amd64, under its plain version. */
  readonly sameAsDefault: boolean
}

/** Why a value was chosen. */
export interface Reason {
  readonly key: string
  readonly value: string
  readonly reason: string
  /** The alternative that lost, and why. */
  readonly rejected?: { readonly value: string; readonly reason: string }
}

/**
 * Chooses CUDA, cuDNN, operating system, Python and package indexes that go together. Pure.
 *
 * @throws CompatError ENVIRONMENT_CONFLICT with every conflict
 */
export function chooseEnvironment(request: EnvironmentRequest): EnvironmentChoice {
  const chooser = new Chooser(request)
  const choice = request.gpu ? chooser.chooseGpu() : chooser.chooseCpu()
  if (chooser.conflicts.length > 0) throw new CompatError(chooser.conflicts)
  return choice
}

const CPU_PYTHON = '3.11'

class Chooser {
  readonly conflicts: Conflict[] = []
  readonly #request: EnvironmentRequest
  readonly #reasons: Reason[] = []
  readonly #warnings: string[] = []
  readonly #torch: Known<TorchRow> | undefined
  readonly #tensorflow: Known<TensorflowRow> | undefined

  constructor(request: EnvironmentRequest) {
    this.#request = request
    this.#torch = knownTorch(request.frameworks)
    this.#tensorflow = knownTensorflow(request.frameworks)
  }

  chooseCpu(): EnvironmentChoice {
    const row = newestRow(rowsOf(this.#torch).filter((row) => row.cuda === null))
    const own = this.#ownTorchIndex()
    const local = this.#torchLocal()
    if (row !== undefined && local !== undefined && local !== 'cpu' && own === undefined) {
      this.#warnings.push(`torch ${row.torch}+${local} is taken without CUDA, since \`gpu\` is not set`)
    }
    const pins = row?.index == null || own !== undefined ? [] : this.#pin(row)
    const python = this.#choosePython(this.#request.basePython ?? CPU_PYTHON, 'what the base brings', row, undefined)
    return {
      gpu: false,
      python,
      ...(pins.length === 0 || row?.index == null ? {} : { torchBuild: row.index }),
      indexes: pins,
      extras: {},
      awaitsLock: false,
      reasons: this.#reasons,
      warnings: this.#warnings,
    }
  }

  chooseGpu(): EnvironmentChoice {
    this.#refuseUnknown()
    const tensorflow = newestTensorflow(this.#tensorflow)
    const decided = this.#chooseCuda(tensorflow)
    const torch = this.#chooseTorch(decided)
    const images = this.#chooseImages(decided.cuda, tensorflow)
    const cuda = images?.cuda ?? decided.cuda
    this.#checkDriver(cuda)
    this.#checkArchitectures(cuda, torch)
    const extras = this.#extras(tensorflow)
    const cudnn = this.#cudnn(images, tensorflow)
    const ubuntu = images?.ubuntu.at(-1)
    const basePython =
      (ubuntu === undefined ? undefined : ubuntuPython(ubuntu)) ?? this.#request.basePython ?? CPU_PYTHON
    const python = this.#choosePython(
      basePython,
      ubuntu === undefined ? 'what the base brings' : `what Ubuntu ${ubuntu} has`,
      torch,
      tensorflow,
    )
    const own = this.#ownTorchIndex()
    const floor = driverFloor(cuda)
    if (floor !== undefined) {
      this.#reasons.push({
        key: 'driver',
        value: floor,
        reason: `the oldest that runs CUDA ${majorOf(cuda)}.x, by minor-version compatibility`,
      })
    }
    return {
      gpu: true,
      cuda,
      ...(cudnn === undefined ? {} : { cudnn }),
      ...(ubuntu === undefined ? {} : { ubuntu }),
      python,
      ...(torch === undefined || own !== undefined ? {} : { torchBuild: torch.index ?? 'default' }),
      indexes: torch?.index == null || own !== undefined ? [] : this.#pin(torch),
      extras,
      ...(floor === undefined ? {} : { driverFloor: floor }),
      awaitsLock: this.#torch?.kind === 'newer' || this.#tensorflow?.kind === 'newer',
      reasons: this.#reasons,
      warnings: this.#warnings,
    }
  }

  /** A version that no table has says nothing about CUDA; a stated CUDA settles it. */
  #refuseUnknown(): void {
    if (this.#request.cuda !== undefined) return
    for (const [name, known] of [
      ['torch', this.#torch],
      ['tensorflow', this.#tensorflow],
    ] as const) {
      if (
        known?.kind !== 'unknown' ||
        (name === 'torch' && (this.#ownTorchIndex() ?? this.#torchLocal()) !== undefined)
      )
        continue
      this.conflicts.push({
        key: name,
        message: `It is not known which CUDA version ${name} ${known.version} is built for`,
        hint: 'Set `build.cuda`, or use a newer version.',
      })
    }
  }

  #chooseCuda(tensorflow: TensorflowRow | undefined): {
    readonly cuda: string
    readonly stated: boolean
    readonly row?: TorchRow
  } {
    const { cuda: stated } = this.#request
    if (stated !== undefined) {
      this.#reasons.push({ key: 'cuda', value: stated, reason: 'stated in `build.cuda`' })
      if (tensorflow !== undefined) this.#compareWithTensorflow(stated, tensorflow)
      return { cuda: stated, stated: true }
    }
    if (tensorflow !== undefined) {
      this.#reasons.push({
        key: 'cuda',
        value: tensorflow.cuda,
        reason: `tensorflow ${tensorflow.tensorflow} is built for it`,
      })
      return { cuda: tensorflow.cuda, stated: false }
    }
    const own = this.#ownTorchIndex()
    const ownCuda = own === undefined ? undefined : cudaOfIndexUrl(own)
    if (ownCuda !== undefined) {
      this.#reasons.push({
        key: 'cuda',
        value: ownCuda,
        reason: 'the index that the requirements name for torch is built for it',
      })
      return { cuda: ownCuda, stated: false }
    }
    const local = this.#torchLocal()
    const localCuda = local === undefined ? undefined : cudaOfLocal(local)
    if (localCuda !== undefined) {
      this.#reasons.push({ key: 'cuda', value: localCuda, reason: `torch is pinned to the build ${local}` })
      return { cuda: localCuda, stated: false }
    }
    const row = this.#newestTorch()
    if (row?.cuda != null) return { cuda: row.cuda, stated: false, row }
    return { cuda: this.#defaultCuda(), stated: false }
  }

  #compareWithTensorflow(stated: string, row: TensorflowRow): void {
    if (majorOf(stated) !== majorOf(row.cuda)) {
      this.conflicts.push({
        key: 'tensorflow',
        message: `tensorflow ${row.tensorflow} is built for CUDA ${row.cuda}, not for ${stated}`,
        hint: `Set \`cuda: "${row.cuda}"\`, or leave it out.`,
      })
    } else if (minorOf(stated) !== row.cuda) {
      this.#warnings.push(
        `tensorflow ${row.tensorflow} was built and tested with CUDA ${row.cuda}; CUDA ${stated} is stated`,
      )
    }
  }

  /** The newest torch that is admitted, in its newest build that the driver and the GPUs can run. */
  #newestTorch(): TorchRow | undefined {
    const rows = rowsOf(this.#torch).filter((row) => row.cuda !== null && compareVersions(row.cuda, '11') >= 0)
    if (rows.length === 0) return undefined
    const family = newestFamily(this.#driver)
    const runs = (row: TorchRow): boolean => row.cuda !== null && runsFamily(this.#driver, majorOf(row.cuda))
    const fits = (row: TorchRow): boolean => row.cuda !== null && this.#targetProblems(row.cuda, row).length === 0
    const chosen =
      newestRow(rows.filter((row) => runs(row) && fits(row))) ?? newestRow(rows.filter(runs)) ?? newestRow(rows)
    if (chosen?.cuda == null) return undefined
    const better = newestRow(
      rows.filter((row) => row.torch === chosen.torch && compareVersions(row.cuda ?? '', chosen.cuda ?? '') > 0),
    )
    const builds = rows.filter((row) => row.torch === chosen.torch).map((row) => row.cuda)
    this.#reasons.push({
      key: 'cuda',
      value: chosen.cuda,
      reason: `torch ${chosen.torch} has builds for CUDA ${builds.join(', ')}; this is the newest that driver ${this.#driver}${this.#isDriverStated ? '' : ' (assumed)'} runs`,
      ...(better?.cuda == null
        ? {}
        : {
            rejected: {
              value: better.cuda,
              reason:
                family !== undefined && compareVersions(majorOf(better.cuda), family) > 0
                  ? `needs driver ${driverFloor(better.cuda) ?? 'newer'}; state it in \`build.targets.min_driver\` to have it`
                  : (this.#targetProblems(better.cuda, better)[0] ?? 'does not fit'),
            },
          }),
    })
    return chosen
  }

  #defaultCuda(): string {
    const jax = this.#request.frameworks.find(({ name }) => name === 'jax' || name === 'jaxlib')
    const asked = jax?.extras?.map((extra) => /^cuda(\d+)/.exec(extra)?.[1]).find((major) => major !== undefined)
    const family = asked ?? newestFamily(this.#driver) ?? '11'
    const candidates = CUDA_IMAGES.filter((images) => majorOf(images.cuda) === family)
    const fitting = candidates.findLast((images) => this.#targetProblems(images.cuda).length === 0) ?? candidates.at(-1)
    const cuda = fitting === undefined ? family : minorOf(fitting.cuda)
    const next = newest(
      CUDA_IMAGES.map((images) => majorOf(images.cuda)).filter((major) => compareVersions(major, family) > 0),
    )
    this.#reasons.push({
      key: 'cuda',
      value: cuda,
      reason:
        asked === undefined
          ? `no framework asks for another; the newest of the family that driver ${this.#driver}${this.#isDriverStated ? '' : ' (assumed)'} runs`
          : `jax asks for CUDA ${asked}`,
      ...(next === undefined || asked !== undefined
        ? {}
        : {
            rejected: {
              value: `${next}.x`,
              reason: `needs driver ${driverFloor(next) ?? 'newer'}; set \`build.cuda\` or \`build.targets.min_driver\` to have it`,
            },
          }),
    })
    return cuda
  }

  /** The build of torch for a CUDA version: the newest that is not newer than it. */
  #chooseTorch(decided: { readonly cuda: string; readonly row?: TorchRow }): TorchRow | undefined {
    if (decided.row !== undefined) return this.#explainTorch(decided.row, decided.cuda)
    const rows = rowsOf(this.#torch).filter((row) => row.cuda !== null)
    if (rows.length === 0 || this.#ownTorchIndex() !== undefined) return undefined
    const limit = minorOf(decided.cuda)
    const notNewer = rows.filter((row) => row.cuda !== null && compareVersions(row.cuda, limit) <= 0)
    // A build of the same family before a newer torch of an older one.
    const row = newestRow(notNewer.filter((row) => majorOf(row.cuda ?? '') === majorOf(limit))) ?? newestRow(notNewer)
    if (row === undefined) {
      const builds = [...new Set(rows.map((row) => row.cuda ?? ''))].toSorted(compareVersions)
      const version = newestRow(rows)?.torch ?? ''
      this.conflicts.push({
        key: 'torch',
        message: `torch ${version} has builds for CUDA ${builds.join(', ')}, all newer than ${limit}`,
        hint: `Set \`build.cuda\` to one of them, or use an older torch.`,
      })
      return undefined
    }
    return this.#explainTorch(row, limit)
  }

  #explainTorch(row: TorchRow, cuda: string): TorchRow {
    const local = this.#torchLocal()
    if (local !== undefined && row.index !== null && local !== row.index) {
      this.#warnings.push(
        `torch is pinned to the build ${local}, but CUDA ${cuda} decides: the build ${row.index} is taken`,
      )
    }
    this.#reasons.push({
      key: 'torch',
      value: `${row.torch}${row.index === null ? '' : `+${row.index}`}`,
      reason:
        row.cuda === minorOf(cuda)
          ? `the build for CUDA ${row.cuda}`
          : `the newest build that is not newer than CUDA ${cuda}`,
    })
    return row
  }

  #chooseImages(cuda: string, tensorflow: TensorflowRow | undefined): CudaImages | undefined {
    const { cudnn, needsImage } = this.#request
    const stated = cudnn === undefined ? undefined : majorOf(cudnn)
    const images = findImages(cuda, stated)
    if (images !== undefined) return images
    const any = findImages(cuda)
    if (stated !== undefined && any !== undefined) {
      this.conflicts.push({
        key: 'cudnn',
        message: `There is no CUDA ${cuda} with cuDNN ${stated}; it comes with cuDNN ${any.cudnn}`,
        hint: 'Leave `build.cudnn` out, or choose another `build.cuda`.',
      })
      return undefined
    }
    if (needsImage === false || tensorflow !== undefined) return undefined
    const near = CUDA_IMAGES.filter((other) => majorOf(other.cuda) === majorOf(cuda)).map((other) => other.cuda)
    this.conflicts.push({
      key: 'cuda',
      message: `There is no nvidia/cuda image for CUDA ${cuda}`,
      hint:
        near.length === 0
          ? 'Set `build.base_image` to an image that has it.'
          : `There are: ${near.join(', ')}. Or set \`build.base_image\`.`,
    })
    return undefined
  }

  #cudnn(images: CudaImages | undefined, tensorflow: TensorflowRow | undefined): string | undefined {
    const stated = this.#request.cudnn === undefined ? undefined : majorOf(this.#request.cudnn)
    const wanted = tensorflow === undefined ? undefined : majorOf(tensorflow.cudnn)
    if (tensorflow !== undefined && wanted !== undefined && hasAndCuda(tensorflow.tensorflow)) {
      this.#reasons.push({
        key: 'cudnn',
        value: wanted,
        reason: `tensorflow ${tensorflow.tensorflow} brings it as a wheel (\`and-cuda\`)`,
      })
      return wanted
    }
    if (tensorflow !== undefined && wanted !== undefined && (stated ?? images?.cudnn ?? wanted) !== wanted) {
      this.conflicts.push({
        key: 'cudnn',
        message: `tensorflow ${tensorflow.tensorflow} needs cuDNN ${wanted}, not ${stated ?? images?.cudnn}`,
        hint: 'Leave `build.cudnn` and `build.cuda` out.',
      })
    }
    const cudnn = stated ?? images?.cudnn
    if (cudnn !== undefined) {
      this.#reasons.push({
        key: 'cudnn',
        value: cudnn,
        reason: stated === undefined ? `what the images of CUDA ${images?.cuda} have` : 'stated in `build.cudnn`',
      })
    }
    return cudnn
  }

  /** TensorFlow's own extra brings the CUDA libraries that it was built with. */
  #extras(tensorflow: TensorflowRow | undefined): EnvironmentChoice['extras'] {
    const asked = this.#request.frameworks.find(({ name }) => name === 'tensorflow')
    const brings = this.#tensorflow?.kind === 'newer' || (tensorflow !== undefined && hasAndCuda(tensorflow.tensorflow))
    if (asked === undefined || !brings || asked.extras?.includes('and-cuda') === true) return {}
    this.#reasons.push({
      key: 'tensorflow',
      value: 'tensorflow[and-cuda]',
      reason: 'its wheels bring the CUDA libraries that it was built with',
    })
    return { tensorflow: ['and-cuda'] }
  }

  #checkDriver(cuda: string): void {
    const floor = driverFloor(cuda)
    const { minDriver } = this.#request
    if (floor === undefined || minDriver === undefined || compareDrivers(minDriver, floor) >= 0) return
    this.conflicts.push({
      key: 'driver',
      message: `CUDA ${cuda} needs driver ${floor} or newer; ${minDriver} is stated as the oldest`,
      hint: 'Raise `build.targets.min_driver`, or choose an older `build.cuda` or framework.',
    })
  }

  #checkArchitectures(cuda: string, torch: TorchRow | undefined): void {
    for (const message of this.#targetProblems(cuda, torch)) {
      this.conflicts.push({
        key: 'targets',
        message,
        hint: 'Change `build.targets.architectures`, `build.cuda` or the framework.',
      })
    }
  }

  #targetProblems(cuda: string, torch?: TorchRow): readonly string[] {
    return (this.#request.architectures ?? []).flatMap((capability) => {
      const problem = cudaProblem(capability, minorOf(cuda))
      if (problem !== undefined) return [`${problem}; CUDA ${cuda} was chosen`]
      const code = torch?.index == null ? undefined : torchCode(torch.index, torch.torch)
      if (torch === undefined || code === undefined || runsOn(code, capability)) return []
      return [`torch ${torch.torch}+${torch.index} has no code for ${describeCapability(capability)}`]
    })
  }

  #choosePython(base: string, why: string, torch: TorchRow | undefined, tensorflow: TensorflowRow | undefined): string {
    const { python } = this.#request
    if (python !== undefined) {
      this.#reasons.push({ key: 'python', value: python, reason: 'stated in `build.python_version`' })
      return python
    }
    const lists = [torch?.pythons, tensorflow?.pythons].filter((list) => list !== undefined)
    const common = lists.reduce<readonly string[] | undefined>(
      (all, list) => (all === undefined ? list : all.filter((version) => list.includes(version))),
      undefined,
    )
    if (common === undefined || common.includes(base)) {
      this.#reasons.push({ key: 'python', value: base, reason: why })
      return base
    }
    const chosen = newest(common) ?? base
    const names = [
      torch === undefined ? [] : `torch ${torch.torch}`,
      tensorflow === undefined ? [] : `tensorflow ${tensorflow.tensorflow}`,
    ].flat()
    this.#reasons.push({
      key: 'python',
      value: chosen,
      reason: `the newest that ${names.join(' and ')} has wheels for`,
      rejected: { value: base, reason: `${why}, but there are no wheels for it` },
    })
    return chosen
  }

  #pin(row: TorchRow): readonly IndexPin[] {
    if (row.index === null) return []
    return [
      { packages: TORCH_FAMILY, url: torchIndexUrl(row.index), sameAsDefault: isDefaultBuild(row.torch, row.cuda) },
    ]
  }

  #ownTorchIndex(): string | undefined {
    return this.#request.frameworks.find(({ name, ownIndex }) => TORCH_FAMILY.includes(name) && ownIndex !== undefined)
      ?.ownIndex
  }

  #torchLocal(): string | undefined {
    return this.#request.frameworks.find(({ name, local }) => TORCH_FAMILY.includes(name) && local !== undefined)?.local
  }

  get #driver(): string {
    return this.#request.minDriver ?? DEFAULT_MIN_DRIVER
  }

  get #isDriverStated(): boolean {
    return this.#request.minDriver !== undefined
  }
}

function rowsOf<Row>(known: Known<Row> | undefined): readonly Row[] {
  return known?.kind === 'rows' ? known.rows : []
}

function newestTensorflow(known: Known<TensorflowRow> | undefined): TensorflowRow | undefined {
  return rowsOf(known).at(-1)
}

/** The newest torch, in its newest build. */
function newestRow(rows: readonly TorchRow[]): TorchRow | undefined {
  return rows
    .toSorted((a, b) => compareVersions(a.torch, b.torch) || compareVersions(a.cuda ?? '0', b.cuda ?? '0'))
    .at(-1)
}
