import type { PlatformLock } from '../lock/lock.ts'
import { debianBaseLayers, systemPackageLayers } from './debian-layers.ts'
import type { PlannedLayer } from './plan.ts'

/** What decides the layers below the wheels. */
export type LowerLock = Pick<PlatformLock, 'base' | 'interpreter' | 'systemPackages'>

/**
 * The layers on which packages are laid, or built: a composed base, the interpreter, system packages; lowest first. Those
 * of an existing base are not among them.
 *
 * @param systemPackages names that the project asks for
 */
export function lowerLayers(lock: LowerLock, systemPackages: readonly string[]): readonly PlannedLayer[] {
  const { base } = lock
  return [
    ...(base.kind === 'debian' ? debianBaseLayers(base.packages, systemPackages) : []),
    ...interpreterLayers(lock),
    ...(lock.systemPackages === undefined ? [] : systemPackageLayers(lock.systemPackages)),
  ]
}

/** The layer of an interpreter that is an archive; none for the base's own. */
export function interpreterLayers({ interpreter }: Pick<PlatformLock, 'interpreter'>): PlannedLayer[] {
  if (interpreter.archive === undefined) return []
  const { prefix, ...archive } = interpreter.archive
  const title = `Python ${interpreter.version}`
  return [
    { role: 'interpreter', title, spec: { kind: 'archive', archive, target: prefix.slice(1), strip: 1, label: title } },
  ]
}
