import { readFile, stat } from 'node:fs/promises'
import { filePathOf } from '../core/file-url.ts'
import { findInterpreter, knownMinors, parseInterpreterList, type InterpreterSources } from '../bases/interpreter.ts'
import defaults from '../core/defaults.json' with { type: 'json' }
import { BuildError, isBuildError, type ErrorCode } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import type { BuildConfig } from '../config/config.ts'
import { DEBIAN_SUITES, type DebianSuite } from '../debian/source.ts'
import type { LockedInterpreter, LockedLibc, LockedPlatform } from '../lock/lock.ts'
import type { FoundPython } from './base-facts.ts'
import type { ResolveContext } from './context.ts'

/** Where a relocatable interpreter is laid: its `bin/python3.X` is below. */
const INTERPRETER_PREFIX = '/opt/python'

/** What the choice of an interpreter rests on. */
export interface InterpreterRequest {
  readonly build: BuildConfig
  readonly platform: LockedPlatform
  /** Version asked for, two or three parts. */
  readonly version: string
  /** Interpreters of an existing base. */
  readonly found: readonly FoundPython[]
  /** Of an existing base. */
  readonly libc?: LockedLibc | undefined
}

/**
 * The interpreter of an existing base: its own when it has the version, else a relocatable archive.
 *
 * @throws BuildError INTERPRETER_NOT_FOUND with the versions that can be had
 */
export async function chooseInterpreter(
  request: InterpreterRequest,
  context: ResolveContext,
): Promise<LockedInterpreter> {
  const { build, version, found } = request
  if (build.interpreter.kind === 'archive') return givenArchive(build.interpreter, request, context)
  const own = found.find((python) => answers(python.version, version))
  if (own !== undefined) return { kind: 'base', version: own.version, executable: own.executable }
  if (build.interpreter.kind === 'base') throw notFound(request, found, [])
  if (request.libc?.kind === 'musl') throw notForMusl(version)
  return archiveFor(request, context)
}

/**
 * The suite and interpreter of a composed Debian base.
 *
 * Debian's own Python where the version is the one that a suite has; else a relocatable archive on the suite asked for.
 */
export function chooseSuite(build: BuildConfig, version: string): { suite: DebianSuite; hasPython: boolean } {
  const suites = Object.keys(DEBIAN_SUITES) as DebianSuite[]
  const isArchive = build.interpreter.kind === 'archive'
  const fitting = suites.find((suite) => !isArchive && DEBIAN_SUITES[suite].python === version)
  const suite = build.debian.release ?? fitting ?? 'bookworm'
  return { suite, hasPython: suite === fitting }
}

/**
 * A relocatable archive for the version.
 *
 * @throws BuildError INTERPRETER_NOT_FOUND; ARCHIVE_UNAVAILABLE, NETWORK_FAILED where the archive may be there later
 */
export async function archiveFor(request: InterpreterRequest, context: ResolveContext): Promise<LockedInterpreter> {
  if (request.build.interpreter.kind === 'archive') return givenArchive(request.build.interpreter, request, context)
  const sources = await interpreterSources(context)
  const archive = findInterpreter(request.version, request.platform.architecture, sources)
  if (archive === undefined) {
    throw notFound(request, request.found, knownMinors(request.platform.architecture, sources))
  }
  const { version, url, sha256 } = archive
  return archiveInterpreter({ version, url, sha256, sizeBytes: await sizeOf(url, context) })
}

async function givenArchive(
  { url, sha256 }: { readonly url: string; readonly sha256: string },
  { version }: InterpreterRequest,
  context: ResolveContext,
): Promise<LockedInterpreter> {
  // The archive's name tells the patch version; a stated `3.11` alone would leave `python_full_version` open.
  const named = /(?:cp|python)-?(3\.\d+\.\d+)/.exec(url)?.[1]
  const full = named !== undefined && answers(named, version) ? named : version
  return archiveInterpreter({ version: full, url, sha256, sizeBytes: await sizeOf(url, context) })
}

function archiveInterpreter(archive: {
  readonly version: string
  readonly url: string
  readonly sha256: string
  readonly sizeBytes: number
}): LockedInterpreter {
  const { version, url, sha256, sizeBytes } = archive
  const minor = version.split('.').slice(0, 2).join('.')
  return {
    kind: 'archive',
    version: version.split('.').length === 2 ? `${version}.0` : version,
    executable: `${INTERPRETER_PREFIX}/bin/python${minor}`,
    archive: { url, sha256, sizeBytes, prefix: INTERPRETER_PREFIX },
  }
}

/** Where archives come from: uv's own setting for a mirror is honoured, then the default address. */
async function interpreterSources({ env }: ResolveContext): Promise<InterpreterSources> {
  const mirror = env['UV_PYTHON_INSTALL_MIRROR'] || defaults.pythonInterpreters
  const list = env['LAYERWRIGHT_INTERPRETERS']
  if (list === undefined || list === '') return { mirror }
  let text: string
  try {
    text = await readFile(list, 'utf8')
  } catch (cause) {
    throw new BuildError('USAGE', `Cannot read the list of interpreters: \`${list}\``, {
      hint: 'LAYERWRIGHT_INTERPRETERS names a JSON file.',
      cause,
    })
  }
  return { mirror, extra: parseInterpreterList(text, `\`${list}\``) }
}

/**
 * The lock names sizes, and the table of archives does not: the server or the file system says.
 *
 * @throws BuildError INTERPRETER_NOT_FOUND, ARCHIVE_UNAVAILABLE, NETWORK_FAILED
 */
async function sizeOf(url: string, { http, signal }: ResolveContext): Promise<number> {
  if (url.startsWith('file:')) {
    try {
      return (await stat(filePathOf(url))).size
    } catch (cause) {
      throw new BuildError('INTERPRETER_NOT_FOUND', `The interpreter archive is not there: \`${url}\``, { cause })
    }
  }
  const response = await http({ method: 'HEAD', url, signal }).catch((cause: unknown) => {
    // A network that fails is another matter than an archive that is not there: its code, and so the exit status, stays.
    throw isBuildError(cause) ? refuse(cause.code, url, 'no answer', cause) : cause
  })
  await response.discard()
  const { status } = response
  const size = Number(response.header('content-length'))
  if (status === 200 && Number.isSafeInteger(size) && size > 0) return size
  const isForNow = status === 429 || status >= 500
  const why = status === 200 ? 'the server tells no size' : `status ${status}`
  throw refuse(isForNow ? 'ARCHIVE_UNAVAILABLE' : 'INTERPRETER_NOT_FOUND', url, why)
}

function refuse(code: ErrorCode, url: string, why: string, cause?: unknown): BuildError {
  return new BuildError(code, `The interpreter archive cannot be had (${why}): ${maskUrl(url)}`, {
    hint: 'Set UV_PYTHON_INSTALL_MIRROR to a mirror, or LAYERWRIGHT_INTERPRETERS to a list of your own archives.',
    cause,
  })
}

function notFound(request: InterpreterRequest, found: readonly FoundPython[], minors: readonly string[]): BuildError {
  const own = found.map(({ version }) => version)
  const debian = Object.entries(DEBIAN_SUITES).map(([suite, { python }]) => `${python} (Debian ${suite})`)
  const { version, platform } = request
  return new BuildError(
    'INTERPRETER_NOT_FOUND',
    `No interpreter is known for Python ${version} on linux/${platform.architecture}`,
    {
      hint: [
        own.length > 0 ? `The base has ${own.join(', ')}.` : '',
        `Debian bases bring ${debian.join(', ')}.`,
        minors.length > 0 ? `Relocatable builds exist for ${minors.join(', ')}.` : '',
        'Other builds can be named by URL and hash: LAYERWRIGHT_INTERPRETERS.',
      ]
        .filter((sentence) => sentence !== '')
        .join(' '),
      data: { version, base: own, archives: minors },
    },
  )
}

function notForMusl(version: string): BuildError {
  return new BuildError(
    'INTERPRETER_NOT_FOUND',
    `The base has no Python ${version}, and its C library is musl, which the relocatable builds do not run on`,
    { hint: `Take a base that has it, such as python:${version}-alpine, or one of Debian.` },
  )
}

function answers(version: string, request: string): boolean {
  return version === request || version.startsWith(`${request}.`)
}
