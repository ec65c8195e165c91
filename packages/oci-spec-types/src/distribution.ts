import { z } from 'zod'

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

export type WireError = z.infer<typeof wireErrorSchema>
export type TagList = z.infer<typeof tagListSchema>
