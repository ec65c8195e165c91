import type { EnvironmentChoice } from './environment.ts'
import { hasAndCuda, type TensorflowRow } from './frameworks.ts'
import { CUDA_IMAGES, findImages, type CudaImages } from './images.ts'
import type { Notes, Question } from './question.ts'
import { majorOf } from './version.ts'

/** The images of a CUDA version with the stated cuDNN; undefined, with a conflict where one is needed, when there are none. */
export function chooseImages(
  question: Question,
  notes: Notes,
  cuda: string,
  tensorflow: TensorflowRow | undefined,
): CudaImages | undefined {
  const { cudnn, needsImage } = question.request
  const stated = cudnn === undefined ? undefined : majorOf(cudnn)
  const images = findImages(cuda, stated)
  if (images !== undefined) return images
  const any = findImages(cuda)
  if (stated !== undefined && any !== undefined) {
    notes.conflicts.push({
      key: 'cudnn',
      message: `There is no CUDA ${cuda} with cuDNN ${stated}; it comes with cuDNN ${any.cudnn}`,
      hint: 'Leave `build.cudnn` out, or choose another `build.cuda`.',
    })
    return undefined
  }
  if (needsImage === false || tensorflow !== undefined) return undefined
  const near = CUDA_IMAGES.filter((other) => majorOf(other.cuda) === majorOf(cuda)).map((other) => other.cuda)
  notes.conflicts.push({
    key: 'cuda',
    message: `There is no nvidia/cuda image for CUDA ${cuda}`,
    hint:
      near.length === 0
        ? 'Set `build.base_image` to an image that has it.'
        : `There are: ${near.join(', ')}. Or set \`build.base_image\`.`,
  })
  return undefined
}

/** The major version of cuDNN, from the wheels of TensorFlow or from the images. */
export function chooseCudnn(
  question: Question,
  notes: Notes,
  images: CudaImages | undefined,
  tensorflow: TensorflowRow | undefined,
): string | undefined {
  const stated = question.request.cudnn === undefined ? undefined : majorOf(question.request.cudnn)
  const wanted = tensorflow === undefined ? undefined : majorOf(tensorflow.cudnn)
  if (tensorflow !== undefined && wanted !== undefined && hasAndCuda(tensorflow.tensorflow)) {
    notes.reasons.push({
      key: 'cudnn',
      value: wanted,
      reason: `tensorflow ${tensorflow.tensorflow} brings it as a wheel (\`and-cuda\`)`,
    })
    return wanted
  }
  if (tensorflow !== undefined && wanted !== undefined && (stated ?? images?.cudnn ?? wanted) !== wanted) {
    notes.conflicts.push({
      key: 'cudnn',
      message: `tensorflow ${tensorflow.tensorflow} needs cuDNN ${wanted}, not ${stated ?? images?.cudnn}`,
      hint: 'Leave `build.cudnn` and `build.cuda` out.',
    })
  }
  const cudnn = stated ?? images?.cudnn
  if (cudnn !== undefined) {
    notes.reasons.push({
      key: 'cudnn',
      value: cudnn,
      reason: stated === undefined ? `what the images of CUDA ${images?.cuda} have` : 'stated in `build.cudnn`',
    })
  }
  return cudnn
}

/** TensorFlow's own extra brings the CUDA libraries that it was built with. */
export function chooseExtras(
  question: Question,
  notes: Notes,
  tensorflow: TensorflowRow | undefined,
): EnvironmentChoice['extras'] {
  const asked = question.request.frameworks.find(({ name }) => name === 'tensorflow')
  const brings =
    question.tensorflow?.kind === 'newer' || (tensorflow !== undefined && hasAndCuda(tensorflow.tensorflow))
  if (asked === undefined || !brings || asked.extras?.includes('and-cuda') === true) return {}
  notes.reasons.push({
    key: 'tensorflow',
    value: 'tensorflow[and-cuda]',
    reason: 'its wheels bring the CUDA libraries that it was built with',
  })
  return { tensorflow: ['and-cuda'] }
}
