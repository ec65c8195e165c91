import pLimit from 'p-limit'
import type { WeightConfig } from '../config/config.ts'
import { parseWeightUri, type WeightUri } from '../config/weight-uri.ts'
import { digestOf } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { runTask } from '../core/progress.ts'
import { settleAll } from '../core/settle.ts'
import type { LockedWeightFile, LockedWeights } from '../lock/lock.ts'
import { listHub } from './hub.ts'
import { listLocal } from './local.ts'
import { makeFilter } from './patterns.ts'
import type { FoundFile, FoundFiles, WeightsContext } from './source.ts'
import { listWeb } from './web.ts'

/** Files that are looked at together. */
const CONCURRENCY = 8

/**
 * Finds what the sources of weights have now, by content.
 *
 * @throws BuildError WEIGHTS_NOT_FOUND when nothing is left of an entry; PROJECT_INVALID when two sources give one path
 */
export async function resolveWeights(
  weights: readonly WeightConfig[],
  context: WeightsContext,
): Promise<readonly LockedWeights[]> {
  const locked: LockedWeights[] = []
  for (const weight of weights) {
    locked.push(await runTask(context.report, `weights ${weight.name}`, () => resolveOne(weight, context)))
  }
  return locked
}

/** What local sources have: it is part of what a lock was made for, as the project's requirement files are. */
export async function localWeights(
  weights: readonly WeightConfig[],
  context: WeightsContext,
): Promise<readonly LockedWeights[]> {
  const locked: LockedWeights[] = []
  for (const weight of weights) {
    const sources = weight.sources.filter(({ uri }) => parseWeightUri(uri).kind === 'local')
    if (sources.length > 0) locked.push(await resolveOne({ ...weight, sources }, context))
  }
  return locked
}

async function resolveOne(weight: WeightConfig, context: WeightsContext): Promise<LockedWeights> {
  const { name, target } = weight
  const files = new Map<string, FoundFile>()
  const sources: { uri: string; revision?: string }[] = []
  for (const source of weight.sources) {
    const { uri, include, exclude } = source
    const { revision, files: found } = await list(parseWeightUri(uri), context)
    sources.push(revision === undefined ? { uri } : { uri, revision })
    const isTaken = makeFilter(include, exclude)
    const taken = found.filter(({ path }) => isTaken(path))
    if (taken.length === 0) throw nothingTaken(name, uri, found)
    for (const file of taken) {
      if (files.has(file.path))
        throw new BuildError('PROJECT_INVALID', `Two sources of the weights \`${name}\` have a file \`${file.path}\``, {
          hint: 'Leave it out of one of them with `exclude`.',
        })
      files.set(file.path, file)
    }
  }
  assertNoFileIsFolder(name, files)
  const limit = pLimit(CONCURRENCY)
  const locked = await settleAll(
    [...files.values()].map(({ path, url, identify }) =>
      limit(async (): Promise<LockedWeightFile> => ({ path, url, ...(await identify()) })),
    ),
  )
  locked.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { name, target, digest: setDigest(locked), sources, files: locked }
}

function list(uri: WeightUri, context: WeightsContext): Promise<FoundFiles> {
  switch (uri.kind) {
    case 'hub':
      return listHub(uri, context)
    case 'web':
      return listWeb(uri, context)
    case 'local':
      return listLocal(uri, context)
  }
}

/** One digest for a set of files, as Cog has it: of the sorted lines `<sha256>  <path>`. */
function setDigest(files: readonly LockedWeightFile[]): LockedWeights['digest'] {
  const lines = files.map(({ sha256, path }) => `${sha256}  ${path}`).sort()
  return digestOf(lines.join('\n'))
}

function nothingTaken(name: string, uri: string, found: readonly FoundFile[]): BuildError {
  const some = found.slice(0, 8).map(({ path }) => path)
  return new BuildError('WEIGHTS_NOT_FOUND', `Nothing is left of \`${uri}\` for the weights \`${name}\``, {
    hint:
      some.length === 0
        ? 'The source has no files.'
        : `Change \`include\` or \`exclude\`. It has ${some.join(', ')}${found.length > some.length ? ', ...' : ''}.`,
  })
}

function assertNoFileIsFolder(name: string, files: ReadonlyMap<string, unknown>): void {
  for (const path of files.keys()) {
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      const folder = path.slice(0, slash)
      if (files.has(folder))
        throw new BuildError('PROJECT_INVALID', `In the weights \`${name}\` \`${folder}\` is a file and a folder`)
    }
  }
}
