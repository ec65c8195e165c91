import type { z } from 'zod'
import type * as schemas from './schemas.ts'

/** Free-form string pairs. */
export type Annotations = z.infer<typeof schemas.annotationsSchema>
/** The platform an image runs on. */
export type Platform = z.infer<typeof schemas.platformSchema>
/** Names, types and sizes one blob; `size` in bytes. */
export type Descriptor = z.infer<typeof schemas.descriptorSchema>
/** An image manifest; layers lowest first. */
export type Manifest = z.infer<typeof schemas.manifestSchema>
/** An image index or Docker manifest list. */
export type Index = z.infer<typeof schemas.indexSchema>
/** Execution parameters of an image. */
export type ImageRuntimeConfig = z.infer<typeof schemas.imageRuntimeConfigSchema>
/** One line of an image's history. */
export type History = z.infer<typeof schemas.historySchema>
/** An image configuration; `diff_ids` lowest first. */
export type ImageConfig = z.infer<typeof schemas.imageConfigSchema>
/** The `oci-layout` file. */
export type Layout = z.infer<typeof schemas.layoutSchema>
/** One entry of a registry's error body. */
export type WireError = z.infer<typeof schemas.wireErrorSchema>
/** The answer of a registry's tag list. */
export type TagList = z.infer<typeof schemas.tagListSchema>
