/**
 * Which files of packages are not laid down: `slim` leaves out what the official slim image leaves out
 * (documentation but for copyright files, manuals, translations), `nothing` keeps all.
 */
export type LeaveOut = 'slim' | 'nothing'

/** The rules of the official slim image, in the words of dpkg's configuration (dpkg(1), `path-exclude`). */
export const SLIM_RULES = [
  'path-exclude /usr/share/doc/*',
  'path-include /usr/share/doc/*/copyright',
  'path-exclude /usr/share/groff/*',
  'path-exclude /usr/share/info/*',
  'path-exclude /usr/share/linda/*',
  'path-exclude /usr/share/lintian/*',
  'path-exclude /usr/share/locale/*',
  'path-exclude /usr/share/man/*',
] as const

const EXCLUDED = /^usr\/share\/(doc|groff|info|linda|lintian|locale|man)\/./
const KEPT = /^usr\/share\/(doc\/[^/]+(\/copyright)?$|locale\/locale\.alias$)/

/** Tells whether a path is left out; folders that hold a kept file are kept. */
export function isLeftOut(path: string, leaveOut: LeaveOut): boolean {
  return leaveOut === 'slim' && EXCLUDED.test(path) && !KEPT.test(path)
}
