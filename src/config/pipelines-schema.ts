import { z } from 'zod'
import { concurrency, pointer, predict } from './predictor-schema.ts'

/*
 * The shapes of `models` and `pipelines`. What needs more than one place, such as the steps that a reference may name, is in
 * `check-pipelines.ts`; what needs the signatures of the models, in `src/pipelines`.
 */

/** A name of a model, a pipeline or a step: part of addresses, so in lower case. */
const memberName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/,
    'A name is made of lower-case letters, digits, `.`, `_` and `-`, at most 63 of them',
  )

/** Any value; a text that begins with `$.` is a reference. */
const value = z.unknown()

const inputs = z.record(z.string(), value)

const model = z
  .strictObject({
    run: pointer.optional().meta({ description: 'The file and the class or function that answers predictions.' }),
    predict,
    concurrency: concurrency.optional(),
  })
  .meta({ description: 'One model, under its name.' })

/** `models`. */
export const models = z.record(memberName, model).meta({
  description:
    'Several models in one image, by name, instead of `run`. They share code, packages and weights; each runs in a process of its own.',
  since: 'layerwright',
})

const stepKeys = {
  name: memberName.optional().meta({ description: 'How references name the step.', default: 'the name of the model' }),
  each: value.optional().meta({
    description:
      'Runs the step once for each item of this list, in order; its output is the list of outputs. The item is `$.item`.',
  }),
  when: value
    .optional()
    .meta({ description: 'Skips the step, with null as output, unless this is truthy: `$.input.label`.' }),
  optional: z
    .boolean()
    .optional()
    .meta({ description: 'Whether a failure makes the output null instead of ending the pipeline.', default: false }),
  input: inputs.optional().meta({
    description:
      'The inputs of the model by name: values, and references such as `$.input.image` or `$.detect.boxes[0]`. Made from what comes before when not given.',
  }),
}

const member = z.union([
  memberName,
  z.strictObject({ model: memberName.meta({ description: 'The model that runs.' }), ...stepKeys }),
])

const step = z.union([
  memberName,
  z.strictObject({
    model: memberName.optional().meta({ description: 'The model that runs.' }),
    ...stepKeys,
    parallel: z
      .array(member)
      .min(1, 'This list is empty')
      .optional()
      .meta({ description: 'Steps that run at the same time, instead of `model`.' }),
  }),
])

const steps = z.array(step).min(1, 'This list is empty')

/** `pipelines`. */
export const pipelines = z
  .record(
    memberName,
    z.union([
      steps,
      z.strictObject({
        steps: steps.meta({ description: 'What runs, in order: the name of a model, or a mapping.' }),
        output: value.optional().meta({
          description: 'What the pipeline gives: a reference, or lists and mappings of them.',
          default: 'the output of the last step',
        }),
      }),
    ]),
  )
  .meta({
    description:
      'Pipelines of the models, by name: a list of steps, or a mapping of `steps` and `output`. The one named `main`, or the only one, is what the image serves at `/predictions`.',
    since: 'layerwright',
  })

/** The steps of a pipeline as written. */
export type PipelineYaml = z.output<typeof pipelines>[string]
/** One step as written. */
export type StepYaml = z.output<typeof step>
/** A step that is not `parallel`, as written. */
export type MemberYaml = z.output<typeof member>
