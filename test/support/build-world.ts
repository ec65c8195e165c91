import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Layer } from '../../layers/layer.ts'
import type { BuildContext } from '../../src/build.ts'
import { makeHttp } from '../../src/core/http.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import { Store } from '../../src/store/store.ts'
import { makeLayer } from './layers.ts'
import { makeWheel, type MadeWheel } from './wheel.ts'
import { serveWheels, type WheelIndex } from './wheel-index.ts'

const SDK = [
  makeWheel({ name: 'cog', version: '0.16.12' }),
  ...['0.22.0', '0.23.1', '0.24.0rc1'].flatMap((version) => [
    makeWheel({ name: 'cog', version, requires: [`coglet>=${version}`] }),
    makeWheel({ name: 'coglet', version }),
  ]),
]
const LAUNCHER = makeWheel({ name: 'doorman', version: '1.0' })
const BROUGHT_ALONG = [makeWheel({ name: 'pip', version: '26.3' }), makeWheel({ name: 'setuptools', version: '80.0' })]
const STATUS = 'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n'
const BASE_ENV = ['PATH=/usr/local/cuda/bin:/usr/bin:/bin', 'NVIDIA_REQUIRE_CUDA=cuda>=12.6', 'PYTHON_VERSION=3.11.9']

/** A world for builds on loopback: an index of wheels, and one base image that answers to every name. */
export interface BuildWorld {
  readonly context: BuildContext
  readonly index: WheelIndex
  readonly events: ProgressEvent[]
  /** Locations of bases that were asked for. */
  readonly baseRequests: string[]
  /** Writes a project whose `run.py` is that of examples/hello. */
  project(yaml: string, name?: string): Promise<string>
  close(): Promise<void>
}

/** Makes a world whose store and projects lie in a folder. */
export async function makeBuildWorld(folder: string, wheels: readonly MadeWheel[] = []): Promise<BuildWorld> {
  const index = await serveWheels([...wheels, ...BROUGHT_ALONG, ...SDK, LAUNCHER])
  const events: ProgressEvent[] = []
  const baseRequests: string[] = []
  const baseLayers: Layer[] = []
  const context: BuildContext = {
    store: await Store.open(join(folder, 'store')),
    http: makeHttp({ env: {} }),
    env: {},
    report: (event) => void events.push(event),
    now: () => 1_000_000,
    launcherLock: await writeLauncherLock(folder),
    // Its bytes are those of the lock, as a registry's would be.
    baseLayers: (base) =>
      base.layers.flatMap(({ digest }) =>
        baseLayers.filter(({ descriptor }) => descriptor.digest === digest).slice(0, 1),
      ),
    async openBase(location, platform) {
      baseRequests.push(location)
      const layer = await makeLayer({
        'usr/lib/os-release': 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
        'var/lib/dpkg/status': STATUS,
        'usr/local/bin/python3.11': `ELF ${platform.architecture}`,
      })
      baseLayers.push(layer)
      return {
        manifest: layer.descriptor,
        config: {
          ...platform,
          config: {
            Env: BASE_ENV,
            Entrypoint: ['/opt/nvidia/nvidia_entrypoint.sh'],
            Labels: { maintainer: 'someone' },
          },
          rootfs: { type: 'layers', diff_ids: [layer.diffId] },
        },
        layers: [layer],
      }
    },
  }
  return {
    context,
    index,
    events,
    baseRequests,
    async project(yaml, name = 'project') {
      const path = join(folder, name)
      await mkdir(path)
      await writeFile(join(path, 'cog.yaml'), yaml)
      await cp(join(import.meta.dirname, '..', '..', 'examples', 'hello', 'run.py'), join(path, 'run.py'))
      return path
    },
    close: () => index.close(),
  }
}

async function writeLauncherLock(folder: string): Promise<string> {
  const { filename, sha256, bytes } = LAUNCHER
  const wheel = { name: 'doorman', version: '1.0', filename, sha256, sizeBytes: bytes.length }
  const targets = ['amd64', 'arm64'].map((architecture) => ({
    python: '3.11',
    libc: 'glibc',
    architecture,
    wheels: [wheel],
  }))
  const path = join(folder, 'launcher.lock.json')
  await writeFile(path, JSON.stringify({ version: 1, targets }))
  return path
}
