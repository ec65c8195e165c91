import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, type Host } from '../host.ts'
import profile from './profile.json' with { type: 'json' }

/** What a runtime spec's `linux.seccomp` holds. @see OCI runtime-spec, config-linux.md, "Seccomp" */
export interface SeccompFilter {
  readonly defaultAction: string
  readonly defaultErrnoRet: number
  readonly architectures: readonly string[]
  readonly syscalls: readonly SeccompRule[]
}

/** What is done about some calls, when all the conditions hold. */
export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly {
    readonly index: number
    readonly value: number
    readonly valueTwo: number
    readonly op: string
  }[]
}

const NAMES: Readonly<Record<string, keyof typeof profile.byArchitecture>> = { x64: 'amd64', arm64: 'arm64' }

/** The filter of system calls for containers on this machine; undefined for a machine whose calls are not known here. */
export function seccompFilter(arch: string = process.arch): SeccompFilter | undefined {
  const name = NAMES[arch]
  if (name === undefined) return undefined
  const { defaultAction, defaultErrnoRet, byArchitecture } = profile
  return { defaultAction, defaultErrnoRet, ...byArchitecture[name] }
}

/** Tells whether this machine's kernel has filters. */
export function kernelFilters(kernel: string = KERNEL): boolean {
  return existsSync(kernel)
}

/** Kernels with filters have this file. */
const KERNEL = '/proc/sys/kernel/seccomp/actions_avail'

/**
 * Tells whether kernel and runtime know filters: the runtime's `--version` names its library. Remembered for the program as it
 * is.
 *
 * @param program absolute path of crun or runc
 * @param folder where the answer is kept
 */
export async function supportsSeccomp(
  program: string,
  folder: string,
  host: Pick<Host, 'env'>,
  kernel: string = KERNEL,
): Promise<boolean> {
  if (!kernelFilters(kernel)) return false
  const key = `${program} ${statSync(program).mtimeMs}`
  const file = join(folder, `seccomp-${program.replaceAll(/\W/g, '_')}.json`)
  const known = readAnswer(file)
  if (known?.key === key) return known.answer
  const { stdout } = await run([program, '--version'], host.env)
  const answer = /\+SECCOMP\b|^libseccomp:/m.test(stdout)
  writeFileSync(file, JSON.stringify({ key, answer }))
  return answer
}

function readAnswer(file: string): { readonly key: string; readonly answer: boolean } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { readonly key: string; readonly answer: boolean }
  } catch {
    // Missing or damaged: asked again.
    return undefined
  }
}
