import { chmodSync, lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { systemErrorCode } from '../../core/errors.ts'

/**
 * Removes a file or a whole tree, links not followed; directories without permissions are opened first, which
 * `fs.rm` does not do. Nothing there is fine. Works without recursion in the call stack, however deep the tree.
 */
export function removeTree(path: Buffer | string): void {
  const first = Buffer.from(path)
  const stats = lstatSync(first, { throwIfNoEntry: false })
  if (stats === undefined) return
  if (!stats.isDirectory()) return unlinkSync(first)
  const open: { readonly path: Buffer; readonly names: Buffer[] }[] = [{ path: first, names: list(first) }]
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const name = top.names.pop()
    if (name === undefined) {
      rmdirSync(top.path)
      open.pop()
      continue
    }
    const child = Buffer.concat([top.path, Buffer.from('/'), name])
    try {
      // Unlinking a directory gives EISDIR (EPERM on some file systems); cheaper than asking first.
      unlinkSync(child)
    } catch (error) {
      const code = systemErrorCode(error)
      if (code !== 'EISDIR' && code !== 'EPERM') throw error
      open.push({ path: child, names: list(child) })
    }
  }
}

function list(directory: Buffer): Buffer[] {
  if ((lstatSync(directory).mode & 0o700) !== 0o700) chmodSync(directory, 0o700)
  return readdirSync(directory, { encoding: 'buffer' })
}
