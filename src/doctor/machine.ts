import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, statfs, stat, writeFile } from 'node:fs/promises'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { compareVersions } from '../compat/version.ts'
import { systemErrorCode } from '../core/errors.ts'
import { processors } from '../core/processors.ts'
import { addonProblem, loadSha256 } from '../core/native/addon.ts'
import { probeHost } from '../run/host.ts'
import { which } from '../run/which.ts'
import { failure, ok, skipped, warning, type Check } from './check.ts'
import { makeFolder } from '../core/make-folder.ts'

const MIN_NODE = '20.19.0'
const GIB = 2 ** 30

const node: Check = {
  id: 'node',
  group: 'machine',
  title: 'Node.js',
  run: async ({ nodeVersion }) =>
    compareVersions(nodeVersion, MIN_NODE) >= 0
      ? ok(`Node.js ${nodeVersion}`)
      : failure(`Node.js ${nodeVersion} is too old`, `Install Node.js ${MIN_NODE} or newer.`),
}

const system: Check = {
  id: 'system',
  group: 'machine',
  title: 'Operating system',
  run: async ({ platform }) =>
    platform.startsWith('linux-')
      ? ok(`${platform}, ${processors()} processors`)
      : warning(
          `${platform}: images can be built here but not run`,
          'Push the image, or load it into Docker, to run it.',
        ),
}

const hashing: Check = {
  id: 'hashing',
  group: 'machine',
  title: 'Hashing',
  async run() {
    const loaded = loadSha256()
    if (loaded !== undefined) return ok(`streams are hashed beside each other (${loaded.name})`)
    const problem = addonProblem()
    if (problem === undefined) return ok('each stream is hashed by Node')
    return warning(
      `The addon that hashes several streams at once cannot be loaded: ${problem}`,
      'Builds work without it and take longer. `npm run build` makes it anew; LAYERWRIGHT_NATIVE=0 does without it.',
    )
  },
}

const disk: Check = {
  id: 'disk',
  group: 'machine',
  title: 'Free disk space',
  async run({ store }) {
    const remedy = 'Free some space, or point LAYERWRIGHT_CACHE to another disk.'
    let free: number
    try {
      free = await freeBytes(store)
    } catch (error) {
      return failure(`${store} cannot be looked at: ${systemErrorCode(error) ?? String(error)}`, remedy)
    }
    const text = `${(free / GIB).toFixed(1)} GiB are free in ${store}`
    if (free < GIB) return failure(text, remedy)
    return free < 10 * GIB ? warning(`${text}; GPU images can need 10 GiB`, remedy) : ok(text)
  },
}

async function freeBytes(folder: string): Promise<number> {
  await makeFolder(folder)
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

const store: Check = {
  id: 'store',
  group: 'machine',
  title: 'Local store',
  run: ({ store }) => writable(store, 'Point LAYERWRIGHT_CACHE to a folder that you may write to.'),
}

const temporary: Check = {
  id: 'temporary-folder',
  group: 'machine',
  title: 'Temporary folder',
  run: () => writable(tmpdir(), 'Set TMPDIR to a folder that you may write to.'),
}

async function writable(folder: string, remedy: string) {
  const file = join(folder, `.doctor-${process.pid}-${randomBytes(4).toString('hex')}`)
  try {
    await makeFolder(folder)
    await writeFile(file, 'x')
    await rm(file)
    return ok(`${folder} can be written`)
  } catch (error) {
    return failure(`${folder} cannot be written: ${systemErrorCode(error) ?? String(error)}`, remedy)
  }
}

const home: Check = {
  id: 'home',
  group: 'machine',
  title: 'Home folder',
  async run({ env, store }) {
    const home = env['HOME']
    if (home === undefined || home === '') {
      return warning(
        'HOME is not set',
        `Credentials in ~/.docker are not found; the store is at ${store}. Set HOME if that is not wanted.`,
      )
    }
    // Absent and unreadable are the same finding.
    const found = await stat(home).catch(() => undefined)
    if (found?.isDirectory() !== true) {
      return warning(
        `HOME is not a folder: ${home}`,
        'Set HOME to a folder that exists; until then credentials in ~/.docker are not found.',
      )
    }
    return (await canWrite(home))
      ? ok(home)
      : warning(
          `HOME cannot be written: ${home}`,
          `\`login\` has no place to keep a login; the store is at ${store}. Set HOME, or DOCKER_CONFIG and LAYERWRIGHT_CACHE.`,
        )
  },
}

/** By trying: to root permissions say nothing, and of read-only file systems they never do. */
async function canWrite(folder: string): Promise<boolean> {
  try {
    await rm(await mkdtemp(join(folder, '.layerwright-')), { recursive: true })
    return true
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    return false
  }
}

const openFiles: Check = {
  id: 'open-files',
  group: 'machine',
  title: 'Limit of open files',
  async run() {
    // Only Linux has it.
    const text = await readFile('/proc/self/limits', 'utf8').catch(() => undefined)
    const soft = /^Max open files\s+(\S+)/m.exec(text ?? '')?.[1]
    if (soft === undefined) return skipped('This system does not tell')
    return soft === 'unlimited' || Number(soft) >= 1024
      ? ok(`${soft} files`)
      : warning(`Only ${soft} files may be open at once`, 'Raise it with `ulimit -n 4096`.')
  },
}

const memory: Check = {
  id: 'memory',
  group: 'machine',
  title: 'Free memory',
  async run() {
    // Only Linux has it; elsewhere Node says something less exact.
    const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
    const kib = /^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1]
    const free = kib === undefined ? freemem() : Number(kib) * 1024
    const message = `${(free / GIB).toFixed(1)} GiB are available`
    return free < GIB / 2 ? warning(message, 'A build takes about 250 MiB; free some memory.') : ok(message)
  },
}

const namespaces: Check = {
  id: 'namespaces',
  group: 'machine',
  title: 'Namespaces for run steps',
  async run({ env, platform, store }) {
    if (!platform.startsWith('linux-')) return skipped('Only Linux runs containers')
    const host = await probeHost(join(store, 'probe'), env)
    if (host.namespaces !== 'none') {
      return ok(
        `${host.namespaces === 'root' ? 'as root' : 'without root'}${host.overlay ? ', with overlay file systems' : ''}`,
      )
    }
    return warning(
      `This user may make no namespaces${host.reasons[0] === undefined ? '' : `: ${host.reasons[0].split('\n')[0]}`}`,
      'Building works; `build.run` and running images do not. Allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns), or use a privileged runner.',
    )
  },
}

const RUNTIMES = ['podman', 'docker', 'nerdctl', 'crun', 'runc', 'bwrap', 'unshare']

const runtimes: Check = {
  id: 'runtimes',
  group: 'machine',
  title: 'Programs that run containers',
  async run({ env }) {
    const found = RUNTIMES.filter((name) => which(name, env) !== undefined)
    return found.length > 0
      ? ok(found.join(', '))
      : warning('None is there', `Install one of ${RUNTIMES.join(', ')} to run images here; building needs none.`)
  },
}

/** What builds ask of the machine. */
export const MACHINE_CHECKS: readonly Check[] = [
  node,
  system,
  hashing,
  disk,
  store,
  temporary,
  home,
  openFiles,
  memory,
  namespaces,
  runtimes,
]
