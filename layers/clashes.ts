import { createHash } from 'node:crypto'
import { BuildError } from '../src/core/errors.ts'
import type { PlacedFile, WheelFiles, WrittenFile } from './wheel-files.ts'

/** A package as messages name it. */
export interface PackageLabel {
  readonly name: string
  readonly versionText: string
}

/** One path that two packages fill differently. */
export interface Clash {
  readonly path: string
  /** `name version`, the earlier one first. */
  readonly packages: readonly [string, string]
}

/**
 * Remembers which package brought which path. Equal bytes from two packages are one file (`nvidia/__init__.py`);
 * other bytes are a clash.
 */
export class PathOwners {
  readonly #owners = new Map<string, { readonly label: string; readonly content: string }>()

  /** Filters for one package's files that keep those nobody brought before. @throws BuildError WHEEL_INVALID */
  claimer(label: PackageLabel): { placed: (file: PlacedFile) => boolean; written: (file: WrittenFile) => boolean } {
    const claim = (path: string, content: string): boolean => {
      const clash = this.claim(label, path, content)
      if (clash !== 'new' && clash !== 'same') throw explainClashes([clash])
      return clash === 'new'
    }
    return {
      placed: ({ path, hash }) => claim(path, `${hash.algorithm}=${hash.value}`),
      written: ({ path, bytes }) => claim(path, contentOf(bytes)),
    }
  }

  /** Claims one path for a package. */
  claim(label: PackageLabel, path: string, content: string): 'new' | 'same' | Clash {
    const text = `${label.name} ${label.versionText}`
    const owner = this.#owners.get(path)
    if (owner === undefined) {
      this.#owners.set(path, { label: text, content })
      return 'new'
    }
    return owner.content === content ? 'same' : { path, packages: [owner.label, text] }
  }
}

/** All clashes between packages that are installed into one environment, in the given order. */
export function findClashes(packages: readonly (PackageLabel & { readonly files: WheelFiles })[]): readonly Clash[] {
  const owners = new PathOwners()
  const clashes: Clash[] = []
  for (const { files, ...label } of packages) {
    const all = [
      ...files.placed.map(({ path, hash }) => ({ path, content: `${hash.algorithm}=${hash.value}` })),
      ...files.written.map(({ path, bytes }) => ({ path, content: contentOf(bytes) })),
    ]
    for (const { path, content } of all) {
      const clash = owners.claim(label, path, content)
      if (clash !== 'new' && clash !== 'same') clashes.push(clash)
    }
  }
  return clashes
}

/** The error for clashes; there is at least one. */
export function explainClashes(clashes: readonly Clash[]): BuildError {
  const [first] = clashes
  if (first === undefined) throw new TypeError('No clash to explain')
  const [one, other] = first.packages
  const more = clashes.length === 1 ? '' : ` (and ${clashes.length - 1} more)`
  return new BuildError(
    'WHEEL_INVALID',
    `${one} and ${other} both install \`/${first.path}\`, with different content${more}`,
    {
      hint: 'They cannot lie in one environment. Require only one of them, or a release of either without this file.',
      data: { clashes: clashes.slice(0, 20) },
    },
  )
}

function contentOf(bytes: Uint8Array): string {
  return `sha256=${createHash('sha256').update(bytes).digest('base64url')}`
}
