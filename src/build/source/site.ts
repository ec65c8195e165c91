import { layerStore } from '../../../layers/layer-store.ts'
import type { Layer } from '../../../layers/layer.ts'
import { materialiseAll } from '../../../layers/materialise.ts'
import { makeOpenRemote } from '../../../layers/remote.ts'
import type { LayerContext } from '../../../layers/context.ts'
import { nested } from '../../core/progress.ts'
import type { LockedPlatform, PlatformLock } from '../../lock/lock.ts'
import { lowerLayers, type LowerLock } from '../../plan/lower-layers.ts'
import type { RemoteFile } from '../../core/remote-file.ts'
import { assertRunnable } from '../../run/runnable.ts'
import type { SourceContext } from './context.ts'

/** Where builds run: the image below its wheels. */
export interface BuildSite {
  readonly platform: LockedPlatform
  readonly interpreter: PlatformLock['interpreter']
  readonly libc: PlatformLock['libc']
  /** The root file system, lowest first. */
  readonly layers: readonly Layer[]
  /** The base's own environment. */
  readonly env: readonly string[]
}

/** The virtual environment of builds, in no image. */
export const BUILD_PREFIX = 'opt/build'

/** Makes the root file system in which the wheels of a lock are built. */
export async function makeSite(
  lock: LowerLock & Pick<PlatformLock, 'platform' | 'libc'>,
  systemPackages: readonly string[],
  context: SourceContext,
): Promise<BuildSite> {
  const { base, interpreter, platform, libc } = lock
  assertRunnable(platform)
  const specs = lowerLayers(lock, systemPackages).map(({ spec }) => spec)
  const below = base.kind === 'image' ? context.baseLayers(base) : []
  const made = await materialiseAll(specs, layerContext(context), layerStore(context.store))
  const env = base.kind === 'image' ? (base.config.config?.Env ?? []) : []
  return { platform, interpreter, libc, layers: [...below, ...made], env }
}

/** A wheel's file; nothing else about it gets into layers. */
type WheelFile = RemoteFile & { readonly filename: string }

/** Lays wheels that a build requires into an environment of its own, on top of the site. */
export async function layRequirements(
  site: BuildSite,
  files: readonly WheelFile[],
  context: SourceContext,
): Promise<readonly Layer[]> {
  const { interpreter } = site
  const scheme = { prefix: BUILD_PREFIX, python: interpreter.version.split('.').slice(0, 2).join('.') }
  return materialiseAll(
    [
      ...(files.length === 0 ? [] : [{ kind: 'wheels' as const, ...scheme, wheels: files }]),
      {
        kind: 'environment' as const,
        ...scheme,
        interpreter: interpreter.executable,
        pythonVersion: interpreter.version,
        // Their scripts are what builds call: cmake, ninja, cython.
        requested: files,
      },
    ],
    layerContext(context),
    layerStore(context.store),
  )
}

/** How layers of builds are made: for this machine alone, so without what images may ask for. */
export function layerContext({ http, store, headers, report, signal, projectFolder }: SourceContext): LayerContext {
  return {
    openRemote: makeOpenRemote({ http, store, headers, report: nested(report, 'downloads'), signal }),
    projectFolder,
    report,
    signal,
  }
}
