import type { ImageRuntimeConfig } from 'oci-spec-types'
import { BuildError } from '../../core/errors.ts'
import type { Report } from '../../core/progress.ts'
import { applyCdiEdits } from '../cdi/apply.ts'
import { loadCdi, type CdiRegistry } from '../cdi/registry.ts'
import type { DeviceEdits } from '../run-container.ts'
import { driverEdits, driverPlaces, findNvidiaDriver, type NvidiaDriver } from './nvidia-driver.ts'

/** What the choice of GPUs rests on. */
export interface GpuContext {
  readonly report: Report
  /** The host's CDI specifications; read when needed unless given. */
  readonly cdi?: CdiRegistry | undefined
  /** The host's driver; `false` for none; looked for unless given. */
  readonly driver?: NvidiaDriver | false | undefined
  /** Where it is looked for; the machine itself unless given. */
  readonly driverRoot?: string | undefined
  /**
   * Tells whether a driver meets the image's `NVIDIA_REQUIRE_*` variables.
   *
   * @returns why not, one sentence each
   */
  readonly checkRequirements?:
    | ((env: Readonly<Record<string, string>>, driverVersion: string) => readonly string[])
    | undefined
}

/** Kinds of GPUs, in the order in which `all` looks for them. */
const KINDS = ['nvidia.com/gpu', 'amd.com/gpu', 'intel.com/gpu'] as const

/**
 * Turns the words of `--gpus` into what the container gets.
 *
 * `all`, numbers (`0,1`), or CDI names (`amd.com/gpu=0`). With CDI specifications on the host these say what a device
 * needs; without, NVIDIA's driver is looked for and bound.
 *
 * @returns undefined for `none`
 * @throws BuildError HOST_UNSUPPORTED when there is no such GPU or the driver is too old for the image
 */
export function resolveGpus(words: string, config: ImageRuntimeConfig, context: GpuContext): DeviceEdits | undefined {
  const wanted = words
    .replace(/^device=/, '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  if (wanted.length === 0)
    throw new BuildError('USAGE', 'No GPU is named', { hint: 'Say `all`, `0,1`, or a CDI name.' })
  if (wanted.length === 1 && wanted[0] === 'none') return undefined
  const cdi = context.cdi ?? loadCdi()
  const named = wanted.filter((word) => word.includes('='))
  const plain = wanted.filter((word) => !word.includes('='))
  const driver = (): NvidiaDriver | undefined =>
    context.driver === false ? undefined : (context.driver ?? findNvidiaDriver(driverPlaces(context.driverRoot)))
  const kind = KINDS.find((candidate) => cdi.names.some((name) => name.startsWith(`${candidate}=`)))
  const env = environmentOf(config)
  const isNvidia =
    (plain.length > 0 && kind === 'nvidia.com/gpu') || named.some((name) => name.startsWith('nvidia.com/'))
  if (plain.length === 0 || kind !== undefined) {
    if (isNvidia) checkDriver(env, driver()?.version, context)
    const names = [...named, ...(kind === undefined ? [] : expand(plain, kind, cdi))]
    return withoutHookClash(applyCdiEdits(cdi.edits(names)), isNvidia)
  }
  const found = driver()
  if (found === undefined) {
    throw new BuildError('HOST_UNSUPPORTED', 'No GPU was found: neither a CDI specification nor a driver of NVIDIA', {
      hint: [
        'For NVIDIA install the driver, and `nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml` describes it.',
        ...cdi.errors.map((error) => error.message),
      ].join(' '),
    })
  }
  if (named.length > 0) cdi.edits(named)
  checkDriver(env, found.version, context)
  context.report({
    type: 'note',
    level: 'info',
    text: `No CDI specification on this host: binding NVIDIA's driver ${found.version}`,
  })
  return driverEdits(found, plain.includes('all') ? undefined : plain.map(toIndex), env['LD_LIBRARY_PATH'])
}

/**
 * The GPUs for an image when nobody said which: all there are for one that asks for them (`NVIDIA_VISIBLE_DEVICES=all`),
 * none for any other. A machine without GPUs runs it without, and says so.
 */
export function defaultGpus(config: ImageRuntimeConfig, context: GpuContext): DeviceEdits | undefined {
  if (environmentOf(config)['NVIDIA_VISIBLE_DEVICES'] !== 'all') return undefined
  const cdi = context.cdi ?? loadCdi()
  const driver = context.driver ?? findNvidiaDriver(driverPlaces(context.driverRoot)) ?? false
  if (cdi.names.some((name) => name.startsWith('nvidia.com/gpu=')) || driver !== false) {
    return resolveGpus('all', config, { ...context, cdi, driver })
  }
  context.report({
    type: 'note',
    level: 'warning',
    text: 'The image asks for GPUs and none was found here: running without',
  })
  return undefined
}

/** `all` where the specification has it, else every device of the kind. */
function expand(words: readonly string[], kind: string, cdi: CdiRegistry): string[] {
  return words.flatMap((word) => {
    if (word !== 'all' || cdi.names.includes(`${kind}=all`)) return [`${kind}=${word}`]
    return cdi.names.filter((name) => name.startsWith(`${kind}=`))
  })
}

/** A hook of NVIDIA's on the host must not do the work a second time. */
function withoutHookClash(edits: DeviceEdits, isNvidia: boolean): DeviceEdits {
  return isNvidia ? { ...edits, env: { NVIDIA_VISIBLE_DEVICES: 'void', ...edits.env } } : edits
}

function checkDriver(env: Readonly<Record<string, string>>, version: string | undefined, context: GpuContext): void {
  if (version === undefined || /^(1|t|true)$/i.test(env['NVIDIA_DISABLE_REQUIRE'] ?? '')) return
  const problems = context.checkRequirements?.(env, version) ?? []
  if (problems.length === 0) return
  throw new BuildError('HOST_UNSUPPORTED', `The driver ${version} does not fit the image: ${problems.join('; ')}`, {
    hint: 'Update the driver, or build the image for an older CUDA. NVIDIA_DISABLE_REQUIRE=1 runs it nevertheless.',
  })
}

function environmentOf(config: ImageRuntimeConfig): Record<string, string> {
  return Object.fromEntries(
    (config.Env ?? []).map((line) => [line.split('=', 1)[0] ?? '', line.slice(line.indexOf('=') + 1)]),
  )
}

function toIndex(word: string): number {
  if (!/^\d{1,3}$/.test(word)) {
    throw new BuildError('USAGE', `Not the number of a GPU: \`${word}\``, { hint: 'Say `all`, `0,1`, or a CDI name.' })
  }
  return Number(word)
}
