import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from './package-root.ts'

/** The version of this program, from its package.json. */
export function programVersion(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

/**
 * The version of this program and when it was compiled, for the keys of what it remembers: in a checkout, code of the same
 * version may come to other results.
 */
export function programBuild(): string {
  const madeAt = (path: string): number => statSync(join(packageRoot(), path), { throwIfNoEntry: false })?.mtimeMs ?? 0
  return `${programVersion()} ${Math.max(madeAt('dist/bundle/main.js'), madeAt('dist/.tsbuildinfo'))}`
}
