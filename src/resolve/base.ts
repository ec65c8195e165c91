import type { Config } from '../config/config.ts'
import { BuildError } from '../core/errors.ts'
import { resolveDebian } from '../debian/resolve.ts'
import { DEBIAN_SUITES } from '../debian/source.ts'
import type { DebianLock } from '../debian/lock.ts'
import type { LockedBase, LockedChoice, LockedInterpreter, LockedLibc, LockedPlatform } from '../lock/lock.ts'
import { readBaseFacts } from './base-facts.ts'
import type { ResolveContext } from './context.ts'
import { archiveFor, chooseInterpreter, chooseSuite } from './interpreter.ts'

/** What the image stands on, with the interpreter and C library that decide which wheels fit. */
export interface ResolvedBase {
  readonly base: LockedBase
  readonly interpreter: LockedInterpreter
  readonly libc: LockedLibc
  readonly choices: readonly LockedChoice[]
}

/** The Python of projects that name none and need no particular one. */
const DEFAULT_PYTHON = '3.13'

/** Chooses and describes the base of an image. */
export async function resolveBase(
  config: Config,
  platform: LockedPlatform,
  context: ResolveContext,
): Promise<ResolvedBase> {
  const { build } = config
  if (build.baseImage !== undefined) return imageBase(build.baseImage, config, platform, context)
  return debianBase(config, platform, context)
}

async function debianBase(config: Config, platform: LockedPlatform, context: ResolveContext): Promise<ResolvedBase> {
  const { build } = config
  const version = build.pythonVersion ?? DEFAULT_PYTHON
  const { suite, hasPython } = chooseSuite(build, version)
  const { python } = DEBIAN_SUITES[suite]
  const packages = await resolveDebian(
    {
      suite,
      architecture: platform.architecture,
      isBootstrap: true,
      packages: ['apt', 'ca-certificates', ...(hasPython ? [`python${python}`] : []), ...build.systemPackages],
    },
    { ...context, cache: context.cache('debian'), now: () => new Date(context.now()) },
  )
  const interpreter = hasPython
    ? debianInterpreter(packages, python)
    : await archiveFor({ build, platform, version, found: [] }, context)
  return {
    base: { kind: 'debian', suite, packages },
    interpreter,
    libc: libcOf(packages),
    choices: [
      { key: 'base', value: `debian ${suite}`, reason: 'no GPU is asked for, and Debian needs no registry' },
      interpreterChoice(interpreter, build.pythonVersion),
    ],
  }
}

function debianInterpreter({ packages }: DebianLock, minor: string): LockedInterpreter {
  const deb = packages.find(({ package: name }) => name === `python${minor}-minimal`)
  const version = /^\d+\.\d+\.\d+/.exec(deb?.version ?? '')?.[0]
  if (version === undefined) throw new RangeError(`The lock of Debian packages holds no python${minor}-minimal`)
  return { kind: 'debian', version, executable: `/usr/bin/python${minor}` }
}

function libcOf({ packages }: DebianLock): LockedLibc {
  const match = /^(?:\d+:)?(\d+)\.(\d+)/.exec(packages.find(({ package: name }) => name === 'libc6')?.version ?? '')
  if (match === null) throw new RangeError('The lock of Debian packages holds no libc6')
  return { kind: 'glibc', major: Number(match[1]), minor: Number(match[2]) }
}

async function imageBase(
  location: string,
  config: Config,
  platform: LockedPlatform,
  context: ResolveContext,
): Promise<ResolvedBase> {
  const { build } = config
  const opened = await context.openBase(location, platform)
  const facts = await readBaseFacts(opened.layers, opened.config.config?.Env ?? [], context.signal)
  if (facts.libc === undefined) {
    throw new BuildError('BASE_NOT_FOUND', `No C library was found in the base image: \`${location}\``, {
      hint: 'Python needs one. Use a base made from Debian, Ubuntu, Alpine or the like.',
    })
  }
  const version = build.pythonVersion ?? minorOf(facts.pythons[0]?.version) ?? DEFAULT_PYTHON
  const interpreter = await chooseInterpreter({ build, platform, version, found: facts.pythons }, context)
  return {
    base: {
      kind: 'image',
      location,
      manifest: opened.manifest,
      config: opened.config,
      layers: opened.layers.map(({ descriptor }) => descriptor),
      operatingSystem: `${facts.osId} ${facts.osVersion}`.trim(),
    },
    interpreter,
    libc: facts.libc,
    choices: [
      { key: 'base', value: location, reason: 'build.base_image names it' },
      interpreterChoice(interpreter, build.pythonVersion),
    ],
  }
}

function interpreterChoice(interpreter: LockedInterpreter, stated: string | undefined): LockedChoice {
  const source = { base: "the base's own", debian: "Debian's own", archive: 'a relocatable build' }[interpreter.kind]
  const reason = stated === undefined ? `no version is asked for; ${source}` : `${stated} is asked for; ${source}`
  return { key: 'python', value: interpreter.version, reason }
}

function minorOf(version: string | undefined): string | undefined {
  return version?.split('.').slice(0, 2).join('.')
}
