import type { EnvironmentChoice } from '../compat/index.ts'
import type { Config } from '../config/config.ts'
import type { DebianLock } from '../debian/lock.ts'
import type { LockedBase, LockedChoice, LockedInterpreter, LockedLibc, LockedPlatform } from '../lock/lock.ts'
import type { InstalledDistribution } from '../python/installed.ts'
import type { LockedWheel } from '../python/lock.ts'
import type { EnvironmentAnswer } from './environment.ts'

/** What every way to a base starts from. */
export interface BaseRequest {
  readonly config: Config
  readonly platform: LockedPlatform
  /** CUDA, Python and indexes that go together. */
  readonly environment: EnvironmentAnswer
}

/**
 * A base as far as it is known before the wheels: interpreter and C library decide which wheels fit, and the wheels
 * decide the rest.
 */
export interface BaseDraft {
  readonly interpreter: LockedInterpreter
  readonly libc: LockedLibc
  /** What the base's own interpreter finds in it; absent for bases that are not read. */
  readonly distributions?: readonly InstalledDistribution[]
  complete(wheels: readonly LockedWheel[]): Promise<CompletedBase>
}

/** A base with everything decided. */
export interface CompletedBase {
  readonly base: LockedBase
  /** Packages above an existing image. */
  readonly systemPackages?: DebianLock | undefined
  readonly choices: readonly LockedChoice[]
  /** What became of the environment when the wheels were known, where they can change it. */
  readonly environment?: EnvironmentChoice
}

/** Why this interpreter. */
export function interpreterChoice(interpreter: LockedInterpreter, stated: string | undefined): LockedChoice {
  const source = { base: "the base's own", debian: "Debian's own", archive: 'a relocatable build' }[interpreter.kind]
  const reason = stated === undefined ? `no version is asked for; ${source}` : `${stated} is asked for; ${source}`
  return { key: 'python', value: interpreter.version, reason }
}
