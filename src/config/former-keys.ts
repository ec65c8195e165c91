import type { ReportIssue } from './issues.ts'
import type { Tree } from './tree.ts'

/** Keys of `build` that Cog had for a while and that are in projects still, with why nothing is lost without them. */
const FORMER: Readonly<Record<string, string>> = {
  fast: 'builds need no switch to be fast here',
  cog_runtime: 'the server in the image is chosen by `runtime`',
}

/**
 * Whether Cog itself had this key once and ignores it now. Such a key is no misspelling of another, so that a project of
 * those days builds unchanged.
 *
 * @param path  the key with those above it, joined by dots
 */
export function isFormerKey(path: string): boolean {
  return path.startsWith('build.') && Object.hasOwn(FORMER, path.slice('build.'.length))
}

/** Warns of keys that nothing reads any more. */
export function checkFormerKeys(tree: Tree, report: ReportIssue): void {
  const build = tree.kind === 'map' ? tree.entries.get('build')?.value : undefined
  if (build?.kind !== 'map') return
  for (const [key, why] of Object.entries(FORMER)) {
    if (!build.entries.has(key)) continue
    report('warning', 'no-effect', ['build', key], `\`build.${key}\` has no effect; Cog removed it: ${why}`, {
      hint: 'Remove the line.',
      atKey: true,
    })
  }
}
