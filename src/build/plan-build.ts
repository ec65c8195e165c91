import type { Config } from '../config/config.ts'
import { defaultImageName } from '../config/image-name.ts'
import { settleAll } from '../core/settle.ts'
import { programVersion } from '../core/version.ts'
import { debianBaseLayers, systemPackageLayers } from '../plan/debian-layers.ts'
import { makePlan } from '../plan/make-plan.ts'
import type { Plan } from '../plan/plan.ts'
import type { ProjectDescription } from '../pipelines/describe-project.ts'
import type { HeadersFor } from '../python/settings/credentials.ts'
import type { BuildContext, BuildRequest } from './context.ts'
import { describeKnownProject } from './known-project.ts'
import type { PlanBasis } from './plan-basis.ts'
import type { Answers, Basis, PlannedBuild } from './planned-build.ts'
import { stateLooker, type ProjectState } from './project-state.ts'
import { sourceDate } from '../core/source-date.ts'

/** Loads a project and plans its images. */
export async function planBuild(request: BuildRequest, context: BuildContext): Promise<PlannedBuild> {
  const { store, env, signal } = context
  // Refused before anybody is asked.
  const createdSeconds = sourceDate(env) ?? 0
  const basis = await openBasis(request, context)
  const { config, projectFolder } = basis
  const look = request.look ?? stateLooker(store, env)
  const [answers, model, found] = await settleAll([
    basis.answer(),
    describeKnownProject({ config, projectFolder, path: request.project }, store.cache('models')),
    look(projectFolder, signal),
  ])
  const state = found.state()
  for (const { message, file, line } of [...basis.warnings, ...model.warnings]) {
    context.report({ type: 'note', level: 'warning', text: `${file}:${line}: ${message}` })
  }
  for (const path of state.project.suspects) {
    const text = `\`${path}\` looks like a secret and will be in the image; add it to .dockerignore`
    context.report({ type: 'note', level: 'warning', text, code: 'SECRET_FILE' })
  }
  if (servesNothing(config)) {
    const text = 'The configuration names no model (`run: "run.py:Runner"`): the image will serve nothing'
    context.report({ type: 'note', level: 'warning', text })
  }
  const plans = makePlans({ ...answers, config }, state, model, createdSeconds)
  for (const text of new Set(plans.flatMap(({ notes }) => notes))) {
    context.report({ type: 'note', level: 'info', text })
  }
  return { config, projectFolder, imageName: config.image ?? defaultImageName(projectFolder), ...answers, plans, state }
}

/** An environment alone is an image as well, and for whoever forgot a line the longest way to find that out. */
function servesNothing({ run, train, models }: Config): boolean {
  return run === undefined && train === undefined && models === undefined
}

/** Configuration and answers as they are remembered, else read and asked for. */
async function openBasis(request: BuildRequest, context: BuildContext): Promise<Basis> {
  const known = request.mode === 'refresh' ? undefined : await request.memory?.load(context.now())
  if (known !== undefined) return recalled(known, request, context)
  const { readBasis } = await import('./read-basis.ts')
  return readBasis(request, context)
}

function recalled(known: PlanBasis, request: BuildRequest, context: BuildContext): Basis {
  const { config, projectFolder, warnings, notes, ...answers } = known
  let reading: Promise<HeadersFor> | undefined
  // Credentials are never remembered: they are read when something has to be fetched.
  const headers: HeadersFor = async (url) => {
    reading ??= import('./read-basis.ts').then(({ readHeaders }) => readHeaders(known, request, context))
    return (await reading)(url)
  }
  const answer = async (): Promise<Answers> => {
    for (const note of notes) context.report(note)
    return { ...answers, headers, settings: undefined }
  }
  return { config, projectFolder, warnings, answer }
}

function makePlans(
  { config, lock }: Pick<PlannedBuild, 'config' | 'lock'>,
  { project, tree, revision }: ProjectState,
  model: ProjectDescription,
  createdSeconds: number,
): readonly Plan[] {
  return lock.platforms.map((platformLock) =>
    makePlan({
      config,
      lock: platformLock,
      project,
      weights: lock.weights,
      baseLayers:
        platformLock.base.kind === 'debian'
          ? debianBaseLayers(platformLock.base.packages, config.build.systemPackages)
          : [],
      systemLayers: platformLock.systemPackages === undefined ? [] : systemPackageLayers(platformLock.systemPackages),
      runtimeTree: tree,
      openapi: JSON.stringify(model.openapi),
      members: model.members,
      defaultOpenapi: model.defaultOpenapi === undefined ? undefined : JSON.stringify(model.defaultOpenapi),
      concurrency: model.predict?.concurrency,
      revision,
      version: programVersion(),
      createdSeconds,
    }),
  )
}
