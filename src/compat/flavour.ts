import type { CudaFlavour } from './images.ts'
import type { Reason } from './environment.ts'
import type { WheelFact } from './from-lock.ts'

/** A locked wheel with what is known of the libraries in it. */
export interface FlavourWheel extends WheelFact {
  /** File names that its libraries ask for (ELF NEEDED), such as `libcublas.so.12`; undefined when nobody has looked. */
  readonly needed?: readonly string[] | undefined
  /** File names of the libraries that it holds. */
  readonly provides?: readonly string[] | undefined
}

/** What the base must have for a lock. */
export interface FlavourChoice {
  readonly flavour: CudaFlavour
  /** System packages to add to it. */
  readonly systemPackages: readonly string[]
  readonly reasons: readonly Reason[]
}

/** What chooses the flavour. */
export interface FlavourRequest {
  /** What the project states; `auto` or nothing lets the lock decide. */
  readonly stated?: CudaFlavour | 'auto' | undefined
  readonly wheels: readonly FlavourWheel[]
  /** Packages that are compiled during the build, since they have no wheel. */
  readonly sources?: readonly string[] | undefined
}

/** A library of CUDA, by the start of its file name, with the wheel that brings it and the smallest flavour that has it. */
const LIBRARIES: readonly {
  readonly start: string
  readonly wheel: string
  readonly flavour: 'base' | 'runtime' | 'cudnn-runtime'
}[] = [
  { start: 'libcudart.so', wheel: 'nvidia-cuda-runtime', flavour: 'base' },
  { start: 'libcudnn', wheel: 'nvidia-cudnn', flavour: 'cudnn-runtime' },
  { start: 'libcublas', wheel: 'nvidia-cublas', flavour: 'runtime' },
  { start: 'libcufft', wheel: 'nvidia-cufft', flavour: 'runtime' },
  { start: 'libcurand', wheel: 'nvidia-curand', flavour: 'runtime' },
  { start: 'libcusolver', wheel: 'nvidia-cusolver', flavour: 'runtime' },
  { start: 'libcusparse', wheel: 'nvidia-cusparse', flavour: 'runtime' },
  { start: 'libnccl', wheel: 'nvidia-nccl', flavour: 'runtime' },
  { start: 'libnvrtc', wheel: 'nvidia-cuda-nvrtc', flavour: 'runtime' },
  { start: 'libnpp', wheel: 'nvidia-npp', flavour: 'runtime' },
  { start: 'libnvToolsExt', wheel: 'nvidia-nvtx', flavour: 'runtime' },
  { start: 'libnvJitLink', wheel: 'nvidia-nvjitlink', flavour: 'runtime' },
]

/** What packages ask for by `dlopen`, or are known to ask for when nobody has looked into them. */
const KNOWN_NEEDS: readonly { readonly name: RegExp; readonly needed: readonly string[] }[] = [
  {
    name: /^onnxruntime-gpu$/,
    needed: [
      'libcudart.so',
      'libcublas.so',
      'libcublasLt.so',
      'libcufft.so',
      'libcurand.so',
      'libcudnn.so',
      'libnvrtc.so',
    ],
  },
  { name: /^(ctranslate2|faster-whisper)$/, needed: ['libcublas.so', 'libcudnn.so'] },
  { name: /^paddlepaddle-gpu$/, needed: ['libcudart.so', 'libcublas.so', 'libcudnn.so'] },
  {
    name: /^cupy(-cuda\d+x)?$/,
    needed: ['libcublas.so', 'libcufft.so', 'libcurand.so', 'libcusolver.so', 'libcusparse.so', 'libnvrtc.so'],
  },
  {
    name: /^jax-cuda\d+-plugin$/,
    needed: ['libcudart.so', 'libcublas.so', 'libcudnn.so', 'libcufft.so', 'libcusolver.so', 'libcusparse.so'],
  },
  {
    name: /^tensorflow$/,
    needed: ['libcudart.so', 'libcublas.so', 'libcudnn.so', 'libcufft.so', 'libcusolver.so', 'libcusparse.so'],
  },
]

/** Packages that compile CUDA code while the model runs, and what they need for it. */
const COMPILERS: readonly { readonly name: RegExp; readonly why: string }[] = [
  { name: /^flashinfer(-python)?$/, why: 'compiles CUDA kernels with nvcc when they are first used' },
  { name: /^deepspeed$/, why: 'compiles its operators with nvcc when they are first used' },
]

/**
 * Chooses the smallest CUDA image that a lock can live with. Pure.
 *
 * The rule: a library that some wheel needs and no wheel brings must come from the image; a package that compiles needs what
 * it compiles with.
 */
export function chooseFlavour(request: FlavourRequest): FlavourChoice {
  const reasons: Reason[] = []
  const systemPackages = compilerPackages(request.wheels, reasons)
  const { stated } = request
  if (stated !== undefined && stated !== 'auto') {
    return {
      flavour: stated,
      systemPackages,
      reasons: [...reasons, { key: 'flavour', value: stated, reason: 'stated in `build.cuda_flavour`' }],
    }
  }
  const missing = missingLibraries(request.wheels)
  const hasCudnn = missing.some(({ flavour }) => flavour === 'cudnn-runtime')
  const devel = whyDevel(request)
  if (devel !== undefined) {
    const flavour = hasCudnn ? 'cudnn-devel' : 'devel'
    return { flavour, systemPackages: [], reasons: [{ key: 'flavour', value: flavour, reason: devel }] }
  }
  const flavour = hasCudnn ? 'cudnn-runtime' : missing.some(({ flavour }) => flavour === 'runtime') ? 'runtime' : 'base'
  reasons.push({ key: 'flavour', value: flavour, reason: explain(flavour, missing), ...rejected(flavour, missing) })
  return { flavour, systemPackages, reasons }
}

interface MissingLibrary {
  readonly file: string
  readonly by: string
  readonly flavour: 'base' | 'runtime' | 'cudnn-runtime'
  readonly wheel: string
}

function missingLibraries(wheels: readonly FlavourWheel[]): readonly MissingLibrary[] {
  const provided = new Set(wheels.flatMap((wheel) => wheel.provides ?? []))
  return wheels.flatMap((wheel) =>
    needsOf(wheel).flatMap((file) => {
      const library = LIBRARIES.find(({ start }) => file.startsWith(start))
      if (library === undefined || provided.has(file)) return []
      const isBrought = wheels.some(({ name, version }) => isWheelOf(name, library.wheel) && !version.startsWith('0'))
      return isBrought ? [] : [{ file, by: wheel.name, flavour: library.flavour, wheel: library.wheel }]
    }),
  )
}

function needsOf(wheel: FlavourWheel): readonly string[] {
  const known = KNOWN_NEEDS.find(({ name }) => name.test(wheel.name))?.needed ?? []
  return [...(wheel.needed ?? []), ...known]
}

function isWheelOf(name: string, wheel: string): boolean {
  return name === wheel || name.replace(/-cu\d+$/, '') === wheel
}

function explain(flavour: CudaFlavour, missing: readonly MissingLibrary[]): string {
  const [first] = missing.filter((library) => library.flavour === flavour)
  if (flavour === 'base' || first === undefined) return 'the wheels bring the CUDA libraries that they need'
  return `${first.by} needs ${first.file}, which no wheel brings`
}

function rejected(flavour: CudaFlavour, missing: readonly MissingLibrary[]): Pick<Reason, 'rejected'> {
  if (flavour === 'base')
    return { rejected: { value: 'devel', reason: 'nothing is compiled, and it is several gigabytes larger' } }
  const wheels = [...new Set(missing.map(({ wheel }) => wheel))]
  return {
    rejected: { value: 'base', reason: `would do with the wheels of ${wheels.join(', ')} among the requirements` },
  }
}

function whyDevel({ wheels, sources = [] }: FlavourRequest): string | undefined {
  const source = sources.find((name) =>
    /flash-attn|apex|mmcv|detectron2|deepspeed|xformers|causal-conv1d|mamba-ssm|cuda/.test(name),
  )
  if (source !== undefined) return `${source} has no wheel and is compiled with nvcc`
  for (const { name } of wheels) {
    const compiler = COMPILERS.find((compiler) => compiler.name.test(name))
    if (compiler !== undefined) return `${name} ${compiler.why}`
  }
  // cupy compiles its kernels against the headers of the CUDA runtime, which the wheel of the runtime holds as well.
  const cupy = wheels.find(({ name }) => /^cupy(-cuda\d+x)?$/.test(name))
  const hasHeaders = wheels.some(({ name }) => isWheelOf(name, 'nvidia-cuda-runtime'))
  return cupy === undefined || hasHeaders
    ? undefined
    : `${cupy.name} compiles kernels against CUDA's headers, which no wheel brings`
}

/**
 * Packages of the compiler that wheels call while they work: triton compiles a small C program at its first use.
 *
 * @param headers  the package with `Python.h`, where the interpreter comes without it
 */
export function compilerPackages(
  wheels: readonly Pick<FlavourWheel, 'name'>[],
  reasons: Reason[],
  headers?: string,
): readonly string[] {
  const triton = wheels.find(({ name }) => /^(pytorch-)?triton$/.test(name))
  if (triton === undefined) return []
  const packages = ['gcc', 'libc6-dev', ...(headers === undefined ? [] : [headers])]
  reasons.push({
    key: 'compiler',
    value: packages.join(', '),
    reason: `${triton.name} compiles a launcher in C when it is first used`,
  })
  return packages
}
