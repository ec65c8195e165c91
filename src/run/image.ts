import type { Image } from '../image/image.ts'

/** As much of an image as running it takes. */
export type RunnableImage = Pick<
  Image,
  'config' | 'configBytes' | 'layers' | 'manifest' | 'manifestBytes' | 'descriptor'
>
