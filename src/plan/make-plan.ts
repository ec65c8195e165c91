import { ANNOTATION, type Annotations } from 'oci-spec-types'
import { groupFiles, LAYER_BUDGET } from '../../layers/group.ts'
import { filterFiles, type ListedFiles } from '../../layers/listed-files.ts'
import type { InlineFile } from '../../layers/kinds/inline.ts'
import { describeFiles, LARGE_WEIGHT_BYTES } from '../../layers/kinds/weight-files.ts'
import { maskAddresses } from '../core/mask.ts'
import { projectUrl } from '../core/project-url.ts'
import type { LockedWeights, PlatformLock } from '../lock/lock.ts'
import type { LockedWheel } from '../python/lock.ts'
import { bytecodeStep } from './bytecode.ts'
import { makeDirectUrl } from './direct-url.ts'
import { makeLabels } from './labels.ts'
import { interpreterLayers, lowerLayers } from './lower-layers.ts'
import type { PlanInput } from './plan-input.ts'
import type { PlannedLayer, PlannedSource, PlannedStep, Plan } from './plan.ts'
import { describeDropped, LAYOUT, makeRuntimeConfig } from './runtime-config.ts'

/** Layers of wheels in all, so that the image stays below what overlay file systems allow. */
const WHEEL_LAYER_BUDGET = 60

/** Makes the plan of one platform's image. Pure: equal input gives an equal plan. */
export function makePlan(input: PlanInput): Plan {
  const { config, lock } = input
  const base = lock.base.kind === 'image' ? lock.base : undefined
  const sources = lock.wheels.flatMap((wheel): PlannedSource[] => {
    const { name, version, filename, url, sha256, sizeBytes, source } = wheel
    return source === undefined ? [] : [{ name, version, file: { filename, url, sha256, sizeBytes }, source }]
  })
  const lower = [
    ...input.baseLayers,
    ...interpreterLayers(lock),
    ...input.systemLayers,
    ...wheelLayersOf(lock).wheels,
    environmentLayer(lock, config.build.systemSitePackages),
    ...(config.build.bytecode ? [bytecodeStep()] : []),
    ...runtimeLayers(input),
    ...config.build.run.map(({ command, mounts }): PlannedStep => ({
      role: 'run',
      title: maskAddresses(command),
      command,
      mounts,
    })),
  ]
  return {
    planVersion: 1,
    platform: lock.platform,
    ...(base === undefined ? {} : { base }),
    layers: [...lower, ...projectLayers(input, (base?.layers.length ?? 0) + lower.length)],
    runtime: makeRuntimeConfig({
      config,
      concurrency: input.concurrency,
      interpreter: lock.interpreter.executable,
      base: base?.config.config,
      gpu: lock.gpu,
      labels: makeLabels(input),
    }),
    ...(sources.length === 0 ? {} : { sources }),
    ...(config.build.targets.architectures.length === 0 ? {} : { targets: config.build.targets.architectures }),
    annotations: makeAnnotations(input),
    created: new Date(input.createdSeconds * 1000).toISOString().replace('.000Z', 'Z'),
    choices: lock.choices,
    notes: describeDropped(base?.config.config),
  }
}

/**
 * The layers of one platform that follow from its lock and from what the lock's `inputs` cover, lowest first: not those of `run` steps, of
 * the project or of this program.
 */
export function lockedLayersOf(
  lock: PlatformLock,
  { systemPackages, systemSitePackages }: Pick<PlanInput['config']['build'], 'systemPackages' | 'systemSitePackages'>,
): readonly PlannedLayer[] {
  const { wheels, launcher } = wheelLayersOf(lock)
  return [...lowerLayers(lock, systemPackages), ...wheels, environmentLayer(lock, systemSitePackages), ...launcher]
}

/** The layers of wheels of one platform: the user's environment, then the launcher's. They follow from the lock alone. */
export function wheelLayersOf(lock: PlatformLock): {
  readonly wheels: readonly PlannedLayer[]
  readonly launcher: readonly PlannedLayer[]
} {
  return {
    wheels: wheelLayers(lock, lock.wheels, LAYOUT.environment),
    launcher: wheelLayers(lock, lock.launcher, LAYOUT.runtime),
  }
}

function wheelLayers(lock: PlatformLock, wheels: readonly LockedWheel[], prefix: string): PlannedLayer[] {
  // What is built lies apart, so that layers of published wheels are the same with it and without.
  const built = wheels.filter(({ source }) => source !== undefined)
  const published = wheels.filter(({ source }) => source === undefined)
  const groups = [...groupFiles(published, { budget: WHEEL_LAYER_BUDGET }), ...(built.length === 0 ? [] : [built])]
  return groups.map((group) => ({
    role: 'wheels',
    title: titleOf(group),
    spec: {
      kind: 'wheels',
      ...schemeOf(lock, prefix),
      wheels: group.map(({ filename, url, sha256, sizeBytes }) => ({ filename, url, sha256, sizeBytes })),
    },
  }))
}

function titleOf(group: readonly LockedWheel[]): string {
  const [first] = group
  const title = group.length === 1 ? `${first?.name} ${first?.version}` : `${group.length} packages`
  return first?.source === undefined ? title : `${title}, built from source`
}

function environmentLayer(lock: PlatformLock, seesBase: boolean): PlannedLayer {
  const requested = lock.wheels.filter((wheel) => wheel.requested)
  return {
    role: 'environment',
    title: `environment ${LAYOUT.environment}`,
    spec: {
      kind: 'environment',
      ...schemeOf(lock, LAYOUT.environment),
      interpreter: lock.interpreter.executable,
      pythonVersion: lock.interpreter.version,
      ...(seesBase ? { systemSitePackages: true } : {}),
      requested: requested.map((wheel) => {
        const { filename, url, sha256, sizeBytes } = wheel
        const directUrl = makeDirectUrl(wheel)
        return { filename, url, sha256, sizeBytes, ...(directUrl === undefined ? {} : { directUrl }) }
      }),
    },
  }
}

/** The launcher has packages of its own, so that nothing a project pins can clash with it. */
function runtimeLayers({ config, lock, runtimeTree, openapi, members }: PlanInput): PlannedLayer[] {
  const bundled = `${LAYOUT.project}/.cog/openapi_schema.json`
  if (config.runtime === 'coglet') {
    // Cog's server and SDK are packages of the environment; it reads the document from its working directory.
    const files = openapi === undefined ? [] : [{ path: bundled.slice(1), text: openapi }]
    return files.length === 0
      ? []
      : [{ role: 'runtime', title: 'API document', spec: { kind: 'inline', label: 'API document', files } }]
  }
  const { python } = schemeOf(lock, LAYOUT.runtime)
  const files: InlineFile[] = [
    { path: LAYOUT.runtimePackages.slice(1), link: `lib/python${python}/site-packages` },
    ...(openapi === undefined
      ? []
      : [LAYOUT.schema, bundled].map((path) => ({
          path: path.slice(1),
          text: openapi,
        }))),
    ...(members === undefined ? [] : [{ path: LAYOUT.models.slice(1), text: JSON.stringify(members) }]),
  ]
  return [
    ...wheelLayersOf(lock).launcher.map((layer) => ({ ...layer, role: 'runtime' as const })),
    { role: 'runtime', title: 'launcher', spec: runtimeTree },
    { role: 'runtime', title: 'API document', spec: { kind: 'inline', label: 'API document', files } },
  ]
}

/** Files below the size of a large one are put together up to this size. */
const WEIGHT_GROUP_BYTES = 256 * 2 ** 20

/** Weights and code, within what is left of the layers that an image may have. */
function projectLayers({ project, weights = [] }: PlanInput, below: number): PlannedLayer[] {
  const isElsewhere = weightsOfProject(weights)
  const large = project.weights.flatMap((file) =>
    'sizeBytes' in file && !isElsewhere(file.path) ? [{ ...file, name: file.path }] : [],
  )
  const room = Math.max(8, LAYER_BUDGET - below - 1)
  const fetched = weightLayers(weights, large.length === 0 ? room : Math.floor(room / 2))
  // All of them are large: each has a layer of its own while there is room.
  const own = groupFiles(large, { aloneBytes: 0, groupBytes: Infinity, budget: Math.max(2, room - fetched.length) })
  return [
    ...fetched,
    ...own.map((group): PlannedLayer => {
      const files = group.map(({ name: _, ...file }) => file)
      const title = files.length === 1 ? (files[0]?.path ?? '') : `${files.length} large files`
      return { role: 'weights', title, spec: { kind: 'weights', root: '.', target: LAYOUT.project, files } }
    }),
    ...codeLayers(project, LAYER_BUDGET - below - fetched.length - own.length, (files) =>
      weights.length === 0 ? files : filterFiles(files, ({ path }) => !isElsewhere(path)),
    ),
  ]
}

/** One layer, or several of a large project where there is room for them. */
function codeLayers(
  { code, codeParts = [code] }: PlanInput['project'],
  room: number,
  wanted: (files: ListedFiles) => ListedFiles,
): PlannedLayer[] {
  const parts = (codeParts.length <= room ? codeParts : [code])
    .map(wanted)
    .filter(({ length }, n) => length > 0 || n === 0)
  return parts.map((files, n) => ({
    role: 'code',
    title: parts.length === 1 ? 'project' : `project, part ${n + 1} of ${parts.length}`,
    spec: { kind: 'files', root: '.', target: LAYOUT.project, files },
  }))
}

/** Files in layers that stay as they are when others change; `weights` of cog.yaml. */
function weightLayers(weights: readonly LockedWeights[], budget: number): PlannedLayer[] {
  const files = weights.flatMap(({ target, files: members }) =>
    members.map(({ path, url, sha256, sizeBytes }) => {
      const place = `${target}/${path}`.slice(1)
      return { name: place, path: place, url, sha256, sizeBytes }
    }),
  )
  const groups = groupFiles(files, { aloneBytes: LARGE_WEIGHT_BYTES, groupBytes: WEIGHT_GROUP_BYTES, budget })
  return groups.map((group) => ({
    role: 'weights',
    title: describeFiles(group.map(({ path }) => path)),
    spec: { kind: 'weight-set', files: group.map(({ name: _, ...file }) => file) },
  }))
}

/** Tells files of the project that are weights by cog.yaml: they lie at their target and nowhere else. */
function weightsOfProject(weights: readonly LockedWeights[]): (path: string) => boolean {
  const urls = new Set(weights.flatMap(({ files }) => files.map(({ url }) => url)))
  return (path) => urls.has(projectUrl(path))
}

function makeAnnotations({ lock, revision, createdSeconds }: PlanInput): Annotations {
  const { base } = lock
  return {
    ...(base.kind === 'image'
      ? { [ANNOTATION.baseName]: base.location, [ANNOTATION.baseDigest]: base.manifest.digest }
      : {}),
    [ANNOTATION.created]: new Date(createdSeconds * 1000).toISOString().replace('.000Z', 'Z'),
    ...(revision === undefined ? {} : { [ANNOTATION.revision]: revision.commit }),
    ...(revision?.ref === undefined ? {} : { [ANNOTATION.version]: revision.ref }),
  }
}

function schemeOf({ interpreter }: PlatformLock, prefix: string): { readonly prefix: string; readonly python: string } {
  return { prefix: prefix.slice(1), python: interpreter.version.split('.').slice(0, 2).join('.') }
}
