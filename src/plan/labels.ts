import { ANNOTATION } from 'oci-spec-types'
import { maskAddresses } from '../core/mask.ts'
import type { PlatformLock } from '../lock/lock.ts'
import type { PlanInput } from './plan-input.ts'

/**
 * The labels of an image: those that Cog's tools read (`run.cog.*`), OCI's, and what platforms look for.
 *
 * Values are JSON where Cog's are.
 */
export function makeLabels(
  input: Pick<
    PlanInput,
    'config' | 'lock' | 'weights' | 'openapi' | 'defaultOpenapi' | 'members' | 'revision' | 'version'
  >,
): Record<string, string> {
  const { config, lock, openapi, defaultOpenapi = openapi, revision, version } = input
  return {
    'run.cog.version': version,
    'run.cog.config': JSON.stringify(cogConfig(input)),
    'run.cog.has_init': 'true',
    'run.cog.pip_freeze': lock.wheels.map(({ name, version: exact }) => `${name}==${exact}`).join('\n'),
    ...(defaultOpenapi === undefined ? {} : { 'run.cog.openapi_schema': defaultOpenapi }),
    ...membersLabel(input),
    'run.layerwright.version': version,
    // SageMaker chooses the port through a variable only where this label allows it; Cog's server knows no such routes.
    ...(config.runtime === 'coglet' ? {} : { 'com.amazonaws.sagemaker.capabilities.accept-bind-to-port': 'true' }),
    ...scriptsLabel(lock),
    ...weightsLabel(input.weights),
    ...(revision === undefined ? {} : { [ANNOTATION.revision]: revision.commit }),
    ...(revision?.ref === undefined ? {} : { [ANNOTATION.version]: revision.ref }),
    ...(config.image === undefined ? {} : { [ANNOTATION.title]: config.image }),
  }
}

/** The names of several models and their pipelines, and which of them is served at `/predictions`. */
function membersLabel({ members }: Pick<PlanInput, 'members'>): Record<string, string> {
  if (members === undefined) return {}
  const { default: byDefault, models, pipelines } = members
  const names = { default: byDefault, models: Object.keys(models), pipelines: Object.keys(pipelines) }
  return { 'run.layerwright.models': JSON.stringify(names) }
}

/** Which weights are in the image, by the digest of their files. */
function weightsLabel(weights: PlanInput['weights'] = []): Record<string, string> {
  if (weights.length === 0) return {}
  const sets = weights.map(({ name, target, digest }) => ({ name, target, digest }))
  return { 'run.layerwright.weights': JSON.stringify(sets) }
}

/** Which packages' scripts were neither run nor stood in for, so that whoever runs the image can find out. */
function scriptsLabel({ base, systemPackages }: PlatformLock): Record<string, string> {
  const packages = base.kind === 'debian' ? base.packages : systemPackages
  const names = (packages?.scriptsNotRun ?? []).map((entry) => `${entry.package} ${entry.script}`)
  return names.length === 0 ? {} : { 'run.layerwright.scripts_not_run': JSON.stringify(names) }
}

/**
 * The completed configuration under Cog's own key names, for everybody who can pull the image: no values of variables, and
 * no passwords of addresses.
 */
function cogConfig({ config, lock }: Pick<PlanInput, 'config' | 'lock'>): Record<string, unknown> {
  const { build } = config
  const cuda = lock.choices.find(({ key }) => key === 'cuda')?.value
  return {
    build: {
      gpu: build.gpu,
      ...(cuda === undefined ? {} : { cuda }),
      python_version: lock.interpreter.version.split('.').slice(0, 2).join('.'),
      ...(build.pythonRequirements === undefined ? {} : { python_requirements: build.pythonRequirements }),
      ...(build.pythonPackages.length === 0 ? {} : { python_packages: build.pythonPackages.map(maskAddresses) }),
      ...(build.systemPackages.length === 0 ? {} : { system_packages: build.systemPackages }),
      ...(build.run.length === 0 ? {} : { run: build.run.map(({ command }) => maskAddresses(command)) }),
    },
    ...(config.image === undefined ? {} : { image: config.image }),
    ...(config.run === undefined ? {} : { predict: config.run }),
    ...(config.train === undefined ? {} : { train: config.train }),
    ...(config.concurrency === undefined ? {} : { concurrency: { max: config.concurrency.max } }),
  }
}
