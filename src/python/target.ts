import { BuildError } from '../core/errors.ts'
import type { MarkerEnvironment } from './marker.ts'
import { parseVersion } from './version.ts'

/** The machine that an image is for: all that decides which wheels fit and which markers hold. Plain JSON. */
export interface Target {
  /** `3.11.9`; a version without patch counts as patch 0. */
  readonly pythonVersion: string
  readonly platform: TargetPlatform
  readonly libc: Libc
  /** A CPython built without the global lock (`3.13t`). */
  readonly isFreeThreaded?: boolean
}

/** As OCI names platforms. */
export interface TargetPlatform {
  readonly os: 'linux'
  /** `amd64`, `arm64`, ... */
  readonly architecture: string
  /** `v7` for 32-bit ARM. */
  readonly variant?: string
}

/** The C library of the base image; decides which manylinux or musllinux wheels run. */
export interface Libc {
  readonly kind: 'glibc' | 'musl'
  readonly major: number
  readonly minor: number
}

const MACHINES: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  arm: 'armv7l',
  '386': 'i686',
  ppc64le: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loongarch64',
}

/** What `uname -m` answers on the target. @throws BuildError PLATFORM_NOT_FOUND */
export function machineOf(platform: TargetPlatform): string {
  const machine = MACHINES[platform.architecture]
  if (machine === undefined) {
    throw new BuildError('PLATFORM_NOT_FOUND', `No Python wheels exist for the architecture ${platform.architecture}`, {
      hint: `Known architectures: ${Object.keys(MACHINES).join(', ')}.`,
    })
  }
  return machine
}

/** Values of all marker variables on the target. Kernel release and version are unknown and empty, as uv has them. */
export function targetMarkers(target: Target): MarkerEnvironment {
  const full = fullPythonVersion(target.pythonVersion)
  return {
    implementation_name: 'cpython',
    implementation_version: full,
    os_name: 'posix',
    platform_machine: machineOf(target.platform),
    platform_python_implementation: 'CPython',
    platform_release: '',
    platform_system: 'Linux',
    platform_version: '',
    python_full_version: full,
    python_version: full.split('.').slice(0, 2).join('.'),
    sys_platform: 'linux',
  }
}

/** `3.11` becomes `3.11.0`; `3.13t` loses its `t`, which {@link Target.isFreeThreaded} says. */
export function fullPythonVersion(version: string): string {
  const text = version.replace(/t$/, '')
  const { release } = parseVersion(text)
  return release.length >= 3 ? text : [...release, 0, 0].slice(0, 3).join('.')
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(MACHINES).map(([architecture, machine]) => [machine, architecture])),
  ...Object.fromEntries(Object.keys(MACHINES).map((architecture) => [architecture, architecture])),
  armv7: 'arm',
}

/**
 * Parses a platform name in uv's spelling or OCI's into platform and libc.
 *
 * `x86_64-manylinux_2_28`, `aarch64-manylinux2014`, `x86_64-musllinux_1_2`, `x86_64-unknown-linux-gnu`,
 * `aarch64-unknown-linux-musl`, `linux`, `linux/amd64`. Without a libc version glibc 2.28 (as uv) or musl 1.2 is meant.
 *
 * @throws BuildError PLATFORM_NOT_FOUND
 */
export function parseTargetPlatform(text: string): Pick<Target, 'platform' | 'libc'> {
  const match =
    /^(?:linux(?:\/(?<oci>\w+)(?:\/\w+)?)?|(?<machine>\w+?)-(?:manylinux_?(?<glibc>\d+(?:_\d+)?)|musllinux_(?<musl>\d+_\d+)|unknown-linux-(?<libc>gnu|musl)(?:eabihf)?))$/.exec(
      text,
    )
  const architecture = ARCHITECTURES[match?.groups?.['machine'] ?? match?.groups?.['oci'] ?? 'amd64']
  if (match === null || architecture === undefined) {
    throw new BuildError('PLATFORM_NOT_FOUND', `Unknown target platform: \`${text}\``, {
      hint: 'Use a name such as x86_64-manylinux_2_28, aarch64-manylinux_2_28, x86_64-musllinux_1_2 or linux/arm64.',
    })
  }
  const variant = architecture === 'arm' ? { variant: 'v7' } : {}
  return { platform: { os: 'linux', architecture, ...variant }, libc: parseLibc(match.groups ?? {}) }
}

const LEGACY_GLIBC: Readonly<Record<string, string>> = { '1': '2_5', '2010': '2_12', '2014': '2_17' }

function parseLibc(groups: Readonly<Record<string, string | undefined>>): Libc {
  const isMusl = groups['musl'] !== undefined || groups['libc'] === 'musl'
  const glibc = groups['glibc'] ?? '2_28'
  const text = isMusl ? (groups['musl'] ?? '1_2') : (LEGACY_GLIBC[glibc] ?? glibc)
  const [major = 0, minor = 0] = text.split('_').map(Number)
  return { kind: isMusl ? 'musl' : 'glibc', major, minor }
}
