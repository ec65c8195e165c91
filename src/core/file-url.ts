import { fileURLToPath } from 'node:url'
import { BuildError } from './errors.ts'

/**
 * The path that a `file:` address means on this machine.
 *
 * @throws BuildError FILE_UNREADABLE when it names another host, or no path
 */
export function filePathOf(url: string | URL): string {
  try {
    return fileURLToPath(url)
  } catch (cause) {
    throw new BuildError('FILE_UNREADABLE', `This address is of no file on this machine: \`${String(url)}\``, {
      hint: 'A file: address starts with three slashes, such as file:///path/to/file.',
      cause,
    })
  }
}
