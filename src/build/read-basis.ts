import { join } from 'node:path'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { areUntouchedSince, digestFiles, type FileDigests } from '../core/file-digests.ts'
import type { ProgressEvent } from '../core/progress.ts'
import type { HeadersFor } from '../python/settings/credentials.ts'
import { prepareQuestion } from '../resolve/resolve.ts'
import type { BuildContext, BuildRequest } from './context.ts'
import { LOCK_FILE, obtainLock, type ObtainedLock } from './obtain-lock.ts'
import type { PlanBasis } from './plan-basis.ts'
import type { Answers, Basis } from './planned-build.ts'
import { resolving } from './resolving.ts'

/** Reads a configuration; its answers are found, or asked for, when they are wanted. */
export async function readBasis(request: BuildRequest, context: BuildContext): Promise<Basis> {
  // Of the clock that file systems have, whatever the build's own says.
  const startedAt = Date.now()
  const loaded = await loadConfig(request.project)
  const { projectFolder, warnings } = loaded
  const config =
    request.platforms === undefined
      ? loaded.config
      : { ...loaded.config, build: { ...loaded.config.build, platforms: request.platforms } }
  const answer = async (): Promise<Answers> => {
    const notes: ProgressEvent[] = []
    const report = (event: ProgressEvent): void => {
      if (event.type === 'note') notes.push(event)
      context.report(event)
    }
    const obtained = await obtainLock(config, resolving(projectFolder, request, { ...context, report }), request)
    const { lock, isFile, headers, settings } = obtained
    const files = digestsOf(loaded, obtained, startedAt)
    const validUntil = Number.isFinite(obtained.validUntil) ? obtained.validUntil : null
    const basis = { config, projectFolder, lock, isLockFile: isFile, validUntil, warnings, notes }
    if (files !== undefined && !hasSources(basis) && !holdsCredentials(basis))
      await request.memory?.save({ ...basis, files })
    return { lock, isLockFile: isFile, validUntil, files, headers, settings }
  }
  return { config, projectFolder, warnings, answer }
}

/** The credentials of a configuration whose answers are known. */
export async function readHeaders(
  { config, projectFolder }: PlanBasis,
  request: BuildRequest,
  context: BuildContext,
): Promise<HeadersFor> {
  return (await prepareQuestion(config, resolving(projectFolder, request, context))).headers
}

/** The files that decided; undefined when one was touched while they were read, or they do not say everything. */
function digestsOf(
  { file, missed, projectFolder }: LoadedConfig,
  { files, isFile, isMemorable }: ObtainedLock,
  startedAt: number,
): FileDigests | undefined {
  const paths = [file, ...missed, ...files]
  if (!isMemorable || !areUntouchedSince(paths, startedAt)) return undefined
  const digests = digestFiles(paths)
  const wereRead = [file, ...(isFile ? [join(projectFolder, LOCK_FILE)] : [])]
  return wereRead.every((path) => digests[path] !== null) ? digests : undefined
}

/** Whether an address holds a password, as it may in cog.yaml: the store is no place for it. */
function holdsCredentials(basis: Omit<PlanBasis, 'files'>): boolean {
  return /:\/\/[^/?#@\s"]*@/.test(JSON.stringify(basis))
}

/** Whether something has to be built from its source, which may ask indexes again. */
function hasSources({ lock }: Pick<PlanBasis, 'lock'>): boolean {
  return lock.platforms.some(({ wheels }) => wheels.some(({ source }) => source !== undefined))
}
