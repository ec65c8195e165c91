import { loadConfig, type LoadedConfig } from '../config/load.ts'
import defaults from '../core/defaults.json' with { type: 'json' }
import { isBuildError, systemErrorCode } from '../core/errors.ts'
import { makeHttp, type Http } from '../core/http.ts'
import { driverPlaces, findNvidiaDriver } from '../run/gpu/nvidia-driver.ts'
import { storeLocation } from '../store/location.ts'
import { failure, type Check, type CheckResult, type DoctorContext, type Finding } from './check.ts'
import { GPU_CHECKS } from './gpu.ts'
import { MACHINE_CHECKS } from './machine.ts'
import { NETWORK_CHECKS } from './network.ts'
import { PROJECT_CHECKS } from './project.ts'

/** Every check, in the order in which they are shown. */
export const CHECKS: readonly Check[] = [...MACHINE_CHECKS, ...NETWORK_CHECKS, ...GPU_CHECKS, ...PROJECT_CHECKS]

/** How the doctor looks. */
export interface DoctorOptions {
  /** From where the project is looked for. */
  readonly folder: string
  readonly env: DoctorContext['env']
  /** Whether to put right what can be. */
  readonly fix?: boolean | undefined
  /** What to look at; everything unless given. */
  readonly groups?: readonly Check['group'][] | undefined
  /** Whether to ask nobody outside this machine. */
  readonly offline?: boolean | undefined
  readonly http?: Http | undefined
  readonly signal?: AbortSignal | undefined
  readonly addresses?: DoctorContext['addresses'] | undefined
  readonly driver?: string | undefined
  readonly now?: (() => number) | undefined
}

/** In the order in which results are told. */
const GROUPS: readonly Check['group'][] = ['machine', 'network', 'gpu', 'project']

/** Runs all checks; they are independent of each other and run together. The results are in the order of their groups. */
export async function examine(options: DoctorOptions): Promise<readonly CheckResult[]> {
  const context = await makeContext(options)
  const groups = options.groups ?? GROUPS
  const checks = GROUPS.flatMap((name) => CHECKS.filter(({ group }) => group === name && groups.includes(group)))
  return Promise.all(checks.map((check) => runCheck(check, context, options)))
}

async function runCheck(check: Check, context: DoctorContext, { fix, offline }: DoctorOptions): Promise<CheckResult> {
  const { id, group, title } = check
  if (offline === true && (group === 'network' || id === 'torch-index'))
    return { id, group, title, status: 'skipped', message: 'Offline' }
  const { fix: repair, ...finding } = await runOne(check, context)
  if (fix !== true || repair === undefined) return { id, group, title, ...finding }
  return { id, group, title, ...finding, status: 'ok', fixed: await repair() }
}

/** What stops one check, as a store that cannot be written, is its finding: the others are what a user wants to see then. */
async function runOne(check: Check, context: DoctorContext): Promise<Finding> {
  try {
    return await check.run(context)
  } catch (error) {
    const isOutside = isBuildError(error) || systemErrorCode(error) !== undefined
    if (!isOutside || context.signal?.aborted === true) throw error
    return failure(`Cannot be looked at: ${(error as Error).message}`, 'See what else is found, and look again.')
  }
}

async function makeContext(options: DoctorOptions): Promise<DoctorContext> {
  const { env, folder } = options
  let project: LoadedConfig | undefined
  let projectError: unknown
  try {
    project = await loadConfig(folder)
  } catch (error) {
    // The check of cog.yaml tells it; the others go on without a project.
    projectError = error
  }
  return {
    env,
    folder,
    project,
    projectError,
    // One try: a person waits, and wants to know what is so now.
    http: options.http ?? makeHttp({ env, retry: false, connectTimeoutMs: 8_000 }),
    signal: options.signal,
    store: await storeLocation({ env }),
    nodeVersion: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    now: options.now ?? Date.now,
    addresses: options.addresses ?? defaults,
    driver: options.driver ?? findNvidiaDriver(driverPlaces(env['LAYERWRIGHT_NVIDIA_ROOT']))?.version,
  }
}

/** The worst status of some results: an error fails the command, warnings do not. */
export function hasErrors(results: readonly CheckResult[]): boolean {
  return results.some(({ status }) => status === 'error')
}
