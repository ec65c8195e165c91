import type { ConcurrencyConfig, Config, ParallelConfig, PipelineConfig, StepConfig } from './config.ts'
import { readSteps, type WrittenStep } from './pipeline-steps.ts'
import { parseValue, type PipelineValue } from './pipeline-value.ts'
import type { CogYaml } from './schema.ts'

/** The models and pipelines of a cog.yaml; nothing for a project of one model. */
export function makeMembers({ models, pipelines }: CogYaml): Pick<Config, 'models' | 'pipelines'> {
  if (models === undefined) return {}
  const made = Object.entries(models).map(([name, { run, predict, concurrency }]) => [
    name,
    { run: run ?? predict ?? '', ...(concurrency === undefined ? {} : { concurrency: makeConcurrency(concurrency) }) },
  ])
  const chained = Object.entries(pipelines ?? {}).map(([name, yaml]) => [
    name,
    makePipeline(readSteps(yaml, ['pipelines', name])),
  ])
  return {
    models: Object.fromEntries(made),
    ...(chained.length === 0 ? {} : { pipelines: Object.fromEntries(chained) }),
  }
}

/** `concurrency` of the project, or of one of its models. */
export function makeConcurrency(yaml: NonNullable<CogYaml['concurrency']>): ConcurrencyConfig {
  return { max: yaml.max, ...(yaml.default_target === undefined ? {} : { defaultTarget: yaml.default_target }) }
}

function makePipeline({ steps, output }: ReturnType<typeof readSteps>): PipelineConfig {
  return {
    steps: steps.map((step) => makeStep(step)),
    ...(output === undefined ? {} : { output: parseValue(output) }),
  }
}

function makeStep(step: WrittenStep): StepConfig | ParallelConfig {
  return step.parallel === undefined ? makeMember(step) : { parallel: step.parallel.map(makeMember) }
}

function makeMember({ name = '', model = '', path, written }: WrittenStep): StepConfig {
  const { input, each, when, optional } = written
  return {
    name,
    model,
    ...(input === undefined ? {} : { input: parseValues(input) }),
    ...(each === undefined ? {} : { each: parseValue(each) }),
    ...(when === undefined ? {} : { when: parseValue(when) }),
    ...(optional === true ? { optional } : {}),
    path,
  }
}

function parseValues(plain: Readonly<Record<string, unknown>>): Record<string, PipelineValue> {
  return Object.fromEntries(Object.entries(plain).map(([name, value]) => [name, parseValue(value)]))
}
