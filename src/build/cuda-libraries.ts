/** What brings a library of CUDA. */
export interface CudaLibrary {
  /** Package of the wheel, without the suffix that names CUDA's major version. */
  readonly wheel: string
  /** The smallest flavour of the nvidia/cuda images that has it; undefined when none has. */
  readonly flavour: 'base' | 'runtime' | 'cudnn-runtime' | undefined
}

/** By the start of the file name. */
const LIBRARIES: Readonly<Record<string, CudaLibrary>> = {
  libcudart: { wheel: 'nvidia-cuda-runtime', flavour: 'base' },
  libcublas: { wheel: 'nvidia-cublas', flavour: 'runtime' },
  libcublasLt: { wheel: 'nvidia-cublas', flavour: 'runtime' },
  libnvblas: { wheel: 'nvidia-cublas', flavour: 'runtime' },
  libcufft: { wheel: 'nvidia-cufft', flavour: 'runtime' },
  libcufftw: { wheel: 'nvidia-cufft', flavour: 'runtime' },
  libcurand: { wheel: 'nvidia-curand', flavour: 'runtime' },
  libcusolver: { wheel: 'nvidia-cusolver', flavour: 'runtime' },
  libcusolverMg: { wheel: 'nvidia-cusolver', flavour: 'runtime' },
  libcusparse: { wheel: 'nvidia-cusparse', flavour: 'runtime' },
  libnvrtc: { wheel: 'nvidia-cuda-nvrtc', flavour: 'runtime' },
  libnvJitLink: { wheel: 'nvidia-nvjitlink', flavour: 'runtime' },
  libnccl: { wheel: 'nvidia-nccl', flavour: 'runtime' },
  libnvToolsExt: { wheel: 'nvidia-nvtx', flavour: 'runtime' },
  libcufile: { wheel: 'nvidia-cufile', flavour: 'runtime' },
  libcupti: { wheel: 'nvidia-cuda-cupti', flavour: undefined },
  libcusparseLt: { wheel: 'nvidia-cusparselt', flavour: undefined },
  libnvshmem_host: { wheel: 'nvidia-nvshmem', flavour: undefined },
  libcudnn: { wheel: 'nvidia-cudnn', flavour: 'cudnn-runtime' },
}

/** What brings a library of CUDA; undefined for any other. `libcudnn_ops.so.9` is a part of `libcudnn`. */
export function cudaLibrary(name: string): CudaLibrary | undefined {
  const stem = /^(lib[A-Za-z_]+?)\.so(?:\.\d+)*$/.exec(name)?.[1]
  if (stem === undefined) return undefined
  return LIBRARIES[stem] ?? (stem.startsWith('libcudnn_') ? LIBRARIES['libcudnn'] : undefined)
}

const ORDER = ['base', 'runtime', 'cudnn-runtime']

/** Whether an nvidia/cuda image of a flavour has the library; `devel` has what `runtime` has. */
export function flavourHas(flavour: string, library: CudaLibrary): boolean {
  const has = ORDER.indexOf(flavour.replace('devel', 'runtime'))
  return library.flavour !== undefined && ORDER.indexOf(library.flavour) <= has
}

/** The flavour of an nvidia/cuda image by its tag, such as `docker://docker.io/nvidia/cuda:12.8.1-base-ubuntu22.04`. */
export function cudaFlavour(location: string): string | undefined {
  return /cuda:[\d.]+-(base|(?:cudnn\d*-)?(?:runtime|devel))-/.exec(location)?.[1]?.replace(/cudnn\d+/, 'cudnn')
}
