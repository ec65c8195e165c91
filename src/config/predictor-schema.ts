import { z } from 'zod'

/** Where a class or function is: `file.py:Name`. */
export const pointer = z.string().regex(/^[^:\0]+\.py:[A-Za-z_]\w*$/, 'This is not written `file.py:Name`')

/** The former name of `run`. */
export const predict = pointer
  .optional()
  .meta({ description: 'The former name of `run`.', deprecated: true, replacement: 'Use `run`.' })

/** How many predictions run at once. */
export const concurrency = z
  .strictObject({
    max: z
      .int('This is not a whole number')
      .min(1, 'At least one prediction runs at a time')
      .meta({ description: 'How many predictions run at once.' }),
    default_target: z
      .int('This is not a whole number')
      .min(1, 'At least one')
      .optional()
      .meta({ description: 'How many an autoscaler should aim at.' }),
  })
  .meta({ description: 'How many predictions run at once.' })
