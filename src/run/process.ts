import type { ImageRuntimeConfig } from 'oci-spec-types'
import { BuildError } from '../core/errors.ts'
import { readTextInImage } from './layer-view.ts'

/** The process that a container starts with. */
export interface ContainerProcess {
  readonly args: readonly string[]
  /** `NAME=value`, each name once. */
  readonly env: readonly string[]
  readonly cwd: string
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
}

/** What a caller changes about the process that the image names. */
export interface ProcessRequest {
  /** Replaces the image's entrypoint; its command is then not used either. */
  readonly entrypoint?: readonly string[] | undefined
  /** Replaces the image's command. */
  readonly command?: readonly string[] | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly workdir?: string | undefined
  /** `user`, `user:group`, names or numbers. */
  readonly user?: string | undefined
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Works out the process from an image's configuration and the caller's changes.
 *
 * @param folders the image's file system, topmost first: names of users are looked up there
 * @throws BuildError IMAGE_INVALID when there is nothing to start or the user does not exist
 * @see OCI image-spec, conversion.md, "Verbatim Fields" and "Config.User"
 */
export function makeProcess(
  config: ImageRuntimeConfig,
  request: ProcessRequest,
  folders: readonly string[],
): ContainerProcess {
  const entrypoint = request.entrypoint ?? config.Entrypoint ?? []
  const command = request.command ?? (request.entrypoint === undefined ? (config.Cmd ?? []) : [])
  const args = [...entrypoint, ...command]
  if (args.length === 0) throw new BuildError('IMAGE_INVALID', 'The image names no command, and none was given')
  const user = findUser(request.user ?? config.User ?? '', folders)
  const env = new Map<string, string>()
  const add = (name: string, value: string): void => void env.set(name, value)
  for (const line of config.Env ?? []) add(line.split('=', 1)[0] ?? line, line.slice(line.indexOf('=') + 1))
  // Additions never change what the image sets (conversion.md, note 1).
  if (!env.has('PATH')) add('PATH', DEFAULT_PATH)
  if (!env.has('HOME')) add('HOME', user.home)
  for (const [name, value] of Object.entries(request.env ?? {})) add(name, value)
  return {
    args,
    env: [...env].map(([name, value]) => `${name}=${value}`),
    cwd: request.workdir ?? (config.WorkingDir || '/'),
    uid: user.uid,
    gid: user.gid,
    additionalGids: user.additionalGids,
  }
}

interface User {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  readonly home: string
}

function findUser(text: string, folders: readonly string[]): User {
  const [userPart = '', groupPart] = text.split(':', 2)
  const accounts = fields(readTextInImage(folders, '/etc/passwd'))
  const isNumber = userPart === '' || /^\d+$/.test(userPart)
  const account = accounts.find((fields) => (isNumber ? fields[2] === (userPart || '0') : fields[0] === userPart))
  if (!isNumber && account === undefined) {
    throw new BuildError('IMAGE_INVALID', `The image has no user of this name: \`${userPart}\``, {
      hint: 'Use a number, or add the user to /etc/passwd of the image.',
    })
  }
  const uid = number(isNumber ? userPart || '0' : account?.[2], text)
  const groups = fields(readTextInImage(folders, '/etc/group'))
  const gid = groupPart === undefined ? number(account?.[3] ?? '0', text) : findGroup(groupPart, groups, text)
  // Only for a user given by name and without a group (conversion.md, "Config.User").
  const members = isNumber || groupPart !== undefined ? [] : groups.filter((group) => isMember(group, userPart))
  return {
    uid,
    gid,
    additionalGids: members.map((group) => number(group[2], text)).filter((id) => id !== gid),
    home: account?.[5] || '/',
  }
}

function findGroup(name: string, groups: readonly (readonly string[])[], text: string): number {
  if (/^\d+$/.test(name)) return number(name, text)
  const group = groups.find((fields) => fields[0] === name)
  if (group === undefined) throw new BuildError('IMAGE_INVALID', `The image has no group of this name: \`${name}\``)
  return number(group[2], text)
}

function isMember(group: readonly string[], user: string): boolean {
  return (group[3] ?? '').split(',').includes(user)
}

function fields(text: string | undefined): string[][] {
  return (text ?? '').split('\n').map((line) => line.split(':'))
}

function number(text: string | undefined, user: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32 - 1) {
    throw new BuildError('IMAGE_INVALID', `A user or group id out of range, ${String(text)}: \`${user}\``)
  }
  return value
}
