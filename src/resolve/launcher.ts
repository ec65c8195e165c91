import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BuildError } from '../core/errors.ts'
import { packageRoot } from '../core/package-root.ts'
import { settleAll } from '../core/settle.ts'
import { IndexClient } from '../python/index/client.ts'
import type { LockedWheel } from '../python/lock.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'

/** A wheel of the launcher, as the shipped lock names it. */
interface ShippedWheel {
  readonly name: string
  readonly version: string
  readonly filename: string
  readonly sha256: string
  readonly sizeBytes: number
}

/** `python/launcher.lock.json`: for each target the launcher's packages, by hash. */
interface ShippedLock {
  readonly targets: readonly {
    readonly python: string
    readonly libc: string
    readonly architecture: string
    readonly wheels: readonly ShippedWheel[]
  }[]
}

/** Where the lock of the launcher's packages lies. */
export function launcherLockFile({ launcherLock }: Pick<ResolveContext, 'launcherLock'>): string {
  return launcherLock ?? join(packageRoot(), 'python', 'launcher.lock.json')
}

/**
 * Finds the launcher's own packages on the user's index: which files is said by the lock that this program ships, where
 * they lie by the index.
 *
 * @throws BuildError INTERPRETER_NOT_FOUND for a Python that the launcher does not run on; WHEEL_NOT_FOUND for an index
 *   without a file
 */
export async function resolveLauncher(
  target: Target,
  settings: ResolvedIndexSettings,
  context: ResolveContext,
): Promise<readonly LockedWheel[]> {
  const path = launcherLockFile(context)
  const lock = JSON.parse(await readFile(path, 'utf8')) as ShippedLock
  const wheels = wheelsFor(lock, target)
  const { http, signal, now } = context
  const { plan, headers } = settings
  const client = new IndexClient(plan, { http, cache: context.cache('python'), headers, signal, now })
  try {
    return await settleAll(wheels.map((wheel) => locate(wheel, client)))
  } finally {
    await client.settle()
  }
}

function wheelsFor({ targets }: ShippedLock, { pythonVersion, libc, platform }: Target): readonly ShippedWheel[] {
  const minor = pythonVersion.split('.').slice(0, 2).join('.')
  const found = targets.find(
    ({ python, libc: kind, architecture }) =>
      python === minor && kind === libc.kind && architecture === platform.architecture,
  )
  if (found !== undefined) return found.wheels
  const known = [...new Set(targets.map(({ python }) => python))]
  throw new BuildError(
    'INTERPRETER_NOT_FOUND',
    `The prediction server does not run on Python ${minor} (${libc.kind})`,
    {
      hint: `It runs on ${known.join(', ')}.`,
    },
  )
}

async function locate(wheel: ShippedWheel, client: IndexClient): Promise<LockedWheel> {
  const { name, version, filename, sha256, sizeBytes } = wheel
  const { pages, asked } = await client.project(name)
  const found = pages.flatMap(({ page, index }) => {
    const file = page.fileAt(page.filenames.indexOf(filename))
    // A mirror without hashes is asked for the name alone; the download is checked in any case.
    return file === undefined || (file.hashes['sha256'] ?? sha256) !== sha256 ? [] : [{ file, index }]
  })
  const [{ file, index } = {}] = found
  if (file === undefined) {
    throw new BuildError('WHEEL_NOT_FOUND', `The index lacks a file that the prediction server needs: ${filename}`, {
      hint:
        asked.length === 0
          ? 'No index was asked, since the settings of pip or uv say `no-index`. Name a folder that has this file by find-links.'
          : `Asked were ${asked.map(({ url }) => url).join(', ')}. Mirror this file, or name another index.`,
      data: { filename, sha256 },
    })
  }
  return {
    name,
    version,
    filename,
    url: file.url,
    sha256,
    sizeBytes,
    index: index ?? '',
    requested: false,
    dependencies: [],
  }
}
