import { z } from 'zod'
import { isDigest, type Digest } from './digest.ts'
import { DOCKER, OCI } from './media-types.ts'

/** Schema of a digest in a document that arrives from outside. */
export const digestSchema = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  message: 'Expected a digest such as sha256:<64 hex digits>',
})

/** Free-form string pairs (image-spec annotations.md). */
export const annotationsSchema = z.record(z.string(), z.string())

/** The platform an image runs on (image-spec image-index.md, `platform`). */
export const platformSchema = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  'os.version': z.string().optional(),
  'os.features': z.array(z.string()).optional(),
  variant: z.string().optional(),
})

/** Names, types and sizes one blob (image-spec descriptor.md). `size` is in bytes. */
export const descriptorSchema = z.looseObject({
  mediaType: z.string().min(1),
  digest: digestSchema,
  size: z.number().int().nonnegative(),
  urls: z.array(z.string()).optional(),
  annotations: annotationsSchema.optional(),
  data: z.string().optional(),
  artifactType: z.string().optional(),
  platform: platformSchema.optional(),
})

/** An image manifest, OCI or Docker schema 2; layers lowest first. */
export const manifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.enum([OCI.manifest, DOCKER.manifest]).optional(),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
  subject: descriptorSchema.optional(),
  annotations: annotationsSchema.optional(),
})

/** An image index or Docker manifest list. */
export const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.enum([OCI.index, DOCKER.manifestList]).optional(),
  artifactType: z.string().optional(),
  manifests: z.array(descriptorSchema),
  subject: descriptorSchema.optional(),
  annotations: annotationsSchema.optional(),
})

const stringOrStrings = z.array(z.string()).nullish()
const set = z.record(z.string(), z.looseObject({})).nullish()

/** The execution parameters of an image (image-spec config.md, `config`; Docker adds some). */
export const imageRuntimeConfigSchema = z.looseObject({
  User: z.string().nullish(),
  ExposedPorts: set,
  Env: stringOrStrings,
  Entrypoint: stringOrStrings,
  Cmd: stringOrStrings,
  Volumes: set,
  WorkingDir: z.string().nullish(),
  Labels: z.record(z.string(), z.string()).nullish(),
  StopSignal: z.string().nullish(),
  ArgsEscaped: z.boolean().nullish(),
  Healthcheck: z.looseObject({}).nullish(),
  OnBuild: stringOrStrings,
})

/** One line of an image's history; `empty_layer` lines have no layer. */
export const historySchema = z.looseObject({
  created: z.string().optional(),
  author: z.string().optional(),
  created_by: z.string().optional(),
  comment: z.string().optional(),
  empty_layer: z.boolean().optional(),
})

/** An image configuration (image-spec config.md); `diff_ids` lowest first. */
export const imageConfigSchema = z.looseObject({
  created: z.string().nullish(),
  author: z.string().nullish(),
  architecture: z.string(),
  os: z.string(),
  'os.version': z.string().optional(),
  'os.features': z.array(z.string()).optional(),
  variant: z.string().optional(),
  config: imageRuntimeConfigSchema.nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digestSchema) }),
  history: z.array(historySchema).nullish(),
})

/** The `oci-layout` file of a layout directory (image-spec image-layout.md). */
export const layoutSchema = z.looseObject({ imageLayoutVersion: z.string() })

/** One entry of a registry's error body. */
export const wireErrorSchema = z.looseObject({
  code: z.string(),
  message: z.string().optional(),
  detail: z.unknown().optional(),
})

/** A registry's error body (distribution-spec, "Error Codes"). */
export const wireErrorsSchema = z.looseObject({ errors: z.array(wireErrorSchema) })

/** The answer of `GET /v2/<name>/tags/list`. */
export const tagListSchema = z.looseObject({ name: z.string(), tags: z.array(z.string()).nullish() })
