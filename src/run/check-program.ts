import { closeSync, openSync, readSync } from 'node:fs'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { findInImage, type Found } from './layer-view.ts'
import type { ContainerProcess } from './process.ts'

/** The folders of an image and what is mounted over them. */
export interface ProgramPlace {
  /** Topmost first. */
  readonly folders: readonly string[]
  /** Paths in the container. */
  readonly mounts: readonly string[]
}

/**
 * Makes sure that a container's first program can be started, so that a failure names what is missing; what programs say
 * themselves is "No such file or directory" for a script that is there and whose interpreter is not.
 *
 * What may lie in a bound folder or a file system in memory is left to the runtime.
 *
 * @throws BuildError RUN_FAILED when the program, its interpreter or its loader is not in the image
 */
export function assertProgram(process: ContainerProcess, place: ProgramPlace): void {
  const [name = ''] = process.args
  const path = process.env.find((line) => line.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const candidates = name.includes('/') ? [absolute(name, process.cwd)] : path.split(':').map((dir) => `${dir}/${name}`)
  if (candidates.some((candidate) => isHidden(candidate, place))) return
  const found = candidates.map((candidate) => look(candidate, place)).find((entry) => entry?.stats?.isFile() === true)
  if (found?.host === undefined) {
    throw new BuildError('RUN_FAILED', `The image has no such program: \`${name}\``, {
      hint: name.includes('/')
        ? 'The path is one inside the image.'
        : `It was looked for in the PATH of the container: ${path}`,
    })
  }
  const needed = interpreterOf(found.host)
  if (needed === undefined || isHidden(needed, place) || look(needed, place)?.stats?.isFile() === true) return
  throw new BuildError('RUN_FAILED', `\`${name}\` needs a program that the image does not have: \`${needed}\``, {
    hint: 'The first line of a script names its interpreter, a binary its loader: one made for glibc does not run on Alpine.',
  })
}

function absolute(path: string, cwd: string): string {
  return path.startsWith('/') ? path : `${cwd}/${path}`
}

function look(path: string, { folders }: ProgramPlace): Found | undefined {
  return findInImage(folders, path)
}

/** Paths that are not the image's: of mounts, and those that a mount hides. */
function isHidden(path: string, { folders, mounts }: ProgramPlace): boolean {
  const real = findInImage(folders, path)?.path ?? path
  return ['/proc', '/dev', '/sys', '/tmp', ...mounts].some((mount) =>
    [path, real].some((at) => at === mount || at.startsWith(`${mount}/`)),
  )
}

const HEAD_BYTES = 4096
const PT_INTERP = 3

/** What the kernel starts in the place of a file: a script's interpreter, a binary's loader; undefined for neither. */
function interpreterOf(file: string): string | undefined {
  const head = readHead(file)
  if (head.toString('latin1', 0, 2) === '#!') {
    const line = head.toString('utf8', 2, 258).split('\n', 1)[0] ?? ''
    const program = line.trim().split(/[ \t]/, 1)[0]
    return program?.startsWith('/') === true ? program : undefined
  }
  // 64 bits, little-endian.
  if (head.length < 64 || head.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return undefined
  const table = Number(head.readBigUInt64LE(32))
  const count = head.readUInt16LE(56)
  for (let at = table; at + 56 <= Math.min(table + count * 56, head.length); at += 56) {
    if (head.readUInt32LE(at) !== PT_INTERP) continue
    const start = Number(head.readBigUInt64LE(at + 8))
    const end = start + Number(head.readBigUInt64LE(at + 32))
    // Elsewhere than near the beginning only in strange files, which the kernel may judge.
    return end > head.length ? undefined : head.toString('utf8', start, end - 1)
  }
  return undefined
}

/** Empty for a file that this user may not read. */
function readHead(file: string): Buffer {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (error) {
    if (systemErrorCode(error) === 'EACCES') return Buffer.alloc(0)
    throw error
  }
  try {
    const bytes = Buffer.alloc(HEAD_BYTES)
    return bytes.subarray(0, readSync(descriptor, bytes, 0, HEAD_BYTES, 0))
  } finally {
    closeSync(descriptor)
  }
}
