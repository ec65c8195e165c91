import table from './tables/cuda-images.json' with { type: 'json' }
import { compareVersions, minorOf } from './version.ts'

/** A flavour of the nvidia/cuda images, smallest first. */
export type CudaFlavour = 'base' | 'runtime' | 'cudnn-runtime' | 'devel' | 'cudnn-devel'

/** The images of one CUDA version. */
export interface CudaImages {
  /** Three parts. */
  readonly cuda: string
  /** Major version of the cuDNN in the `cudnn-` flavours. */
  readonly cudnn: string
  /** How tags name cuDNN: `cudnn8`, `cudnn9`, or `cudnn` since 12.4.1. */
  readonly cudnnTag: string
  /** Ubuntu releases, oldest first, such as `22.04`. */
  readonly ubuntu: readonly string[]
}

/** Every CUDA version that there are images of, oldest first. */
export const CUDA_IMAGES: readonly CudaImages[] = table.toSorted((a, b) => compareVersions(a.cuda, b.cuda))

/**
 * The newest images of a CUDA version.
 *
 * @param cuda  two or three parts; with two, the newest patch counts
 * @param cudnn  major version that the images must have
 */
export function findImages(cuda: string, cudnn?: string): CudaImages | undefined {
  return CUDA_IMAGES.findLast(
    (images) =>
      (cuda.split('.').length > 2 ? images.cuda === cuda : minorOf(images.cuda) === cuda) &&
      (cudnn === undefined || images.cudnn === cudnn),
  )
}

const REPOSITORY = 'nvidia/cuda'

/**
 * The reference of a CUDA image, without a registry.
 *
 * @param ubuntu  a release of `images.ubuntu`; the newest unless given
 * @example formatImage(images, 'cudnn-runtime') === 'nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04'
 */
export function formatImage(
  images: CudaImages,
  flavour: CudaFlavour,
  ubuntu: string | undefined = images.ubuntu.at(-1),
): string {
  return `${REPOSITORY}:${images.cuda}-${flavour.replace('cudnn', images.cudnnTag)}-ubuntu${ubuntu ?? ''}`
}

/** Version of the Python that an Ubuntu release has in its archive. */
export function ubuntuPython(ubuntu: string): string | undefined {
  return { '18.04': '3.6', '20.04': '3.8', '22.04': '3.10', '24.04': '3.12', '26.04': '3.14' }[ubuntu]
}
