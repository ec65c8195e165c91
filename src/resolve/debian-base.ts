import { compilerPackages, type Reason } from '../compat/index.ts'
import { openDebian } from '../debian/resolve.ts'
import { DEBIAN_SUITES, debianSources } from '../debian/source.ts'
import type { DebianLock } from '../debian/lock.ts'
import type { LockedInterpreter, LockedLibc } from '../lock/lock.ts'
import { openAptSources } from './apt-sources.ts'
import { interpreterChoice, type BaseDraft, type BaseRequest } from './base-draft.ts'
import type { ResolveContext } from './context.ts'
import { lockChoice } from './environment.ts'
import { archiveFor, chooseSuite } from './interpreter.ts'

/** A root file system composed from Debian's packages: the embedded default, which needs no registry. */
export async function debianBase(reason: string, request: BaseRequest, context: ResolveContext): Promise<BaseDraft> {
  const { config, platform, environment } = request
  const { build } = config
  const { suite, hasPython } = chooseSuite(build, environment.python)
  const { python } = DEBIAN_SUITES[suite]
  const { mirror, snapshot } = build.debian
  const sources = debianSources(suite, { archive: mirror, snapshot })
  const extraSources = await openAptSources(build.aptSources, context)
  const wanted = ['apt', 'ca-certificates', ...(hasPython ? [`python${python}`] : []), ...build.systemPackages]
  const { lock: packages, archives } = await openDebian(
    {
      suite,
      architecture: platform.architecture,
      isBootstrap: true,
      packages: wanted,
      sources: context.archives?.(sources) ?? sources,
      extraSources,
    },
    { ...context, cache: context.cache('debian'), now: () => new Date(context.now()) },
  )
  // Whether a compiler is needed is known by the wheels; the archives are held for that, not read again.
  const further = build.gpu ? archives : undefined
  const interpreter = hasPython
    ? debianInterpreter(packages, python)
    : await archiveFor({ build, platform, version: environment.python, found: [] }, context)
  return {
    interpreter,
    libc: libcOf(packages),
    complete: async (wheels) => {
      const reasons: Reason[] = []
      const headers = hasPython ? `libpython${python}-dev` : undefined
      const compiler = further === undefined ? [] : compilerPackages(wheels, reasons, headers)
      const choices = [
        { key: 'base', value: `debian ${suite}`, reason },
        interpreterChoice(interpreter, build.pythonVersion),
        ...reasons.map(lockChoice),
      ]
      const all = compiler.length === 0 ? undefined : await further?.choose([...wanted, ...compiler])
      return { base: { kind: 'debian', suite, packages: all ?? packages }, choices }
    },
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
