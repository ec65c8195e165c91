import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Layer } from '../../layers/layer.ts'
import type { BuildContext } from '../../src/build.ts'
import { requireCuda } from '../../src/compat/index.ts'
import { collect } from '../../src/core/bytes.ts'
import { makeHttp, type Http, type HttpResponse } from '../../src/core/http.ts'
import { silent } from '../../src/core/progress.ts'
import type { LockedPlatform } from '../../src/lock/lock.ts'
import type { OpenedBase } from '../../src/resolve/context.ts'
import { Store } from '../../src/store/store.ts'
import { makeArchiveKey, startArchive, type TestArchive } from './debian-archive.ts'
import type { DebDescription } from './debian-package.ts'
import { frozenPages, type FrozenWheel } from './frozen-index.ts'
import { makeLayer } from './layers.ts'

/** Everything that a plan asks of the world, always with the same answers: nothing leaves the machine. */
export interface FrozenWorld {
  readonly context: BuildContext
  close(): Promise<void>
}

/** Makes a frozen world whose store lies in a folder. */
export async function makeFrozenWorld(folder: string): Promise<FrozenWorld> {
  const key = await makeArchiveKey()
  const debian = new Map<string, TestArchive>()
  for (const [suite, packages] of Object.entries(DEBIAN)) {
    const archive = await startArchive(key)
    await archive.publishSuites([suite, `${suite}-updates`, `${suite}-security`], COMPONENTS, packages)
    debian.set(suite, archive)
  }
  const launcherLock = join(folder, 'launcher.lock.json')
  await writeFile(launcherLock, JSON.stringify({ version: 1, targets: launcherTargets() }))
  const context: BuildContext = {
    store: await Store.open(join(folder, 'store')),
    http: frozenHttp(debian),
    env: { UV_NO_CONFIG: '1', PIP_CONFIG_FILE: '/dev/null' },
    report: silent,
    now: Date.now,
    launcherLock,
    archives: (sources) => sources.map((source) => ({ ...source, keys: [key.publicKey], checkValidUntil: false })),
    baseLayers: () => [],
    openBase: openFrozenBase,
  }
  return {
    context,
    close: async () => void (await Promise.all([...debian.values()].map((archive) => archive.close()))),
  }
}

const COMPONENTS = ['main', 'restricted', 'universe', 'multiverse']
const essential = { Essential: 'yes', Priority: 'required' }

/** A few packages of each release, with the versions and dependencies that matter to a plan. */
const DEBIAN: Readonly<Record<string, readonly DebDescription[]>> = {
  bookworm: debianPackages('2.36-9+deb12u13', '3.11', '3.11.2-6+deb12u6'),
  trixie: debianPackages('2.41-12', '3.13', '3.13.5-2'),
  jammy: ubuntuPackages(),
  noble: ubuntuPackages(),
}

function debianPackages(libc: string, python: string, pythonVersion: string): DebDescription[] {
  return [
    { package: 'libc6', version: libc },
    { package: 'base-files', version: '12.4', fields: { ...essential, 'Pre-Depends': 'libc6' } },
    { package: 'apt', version: '2.6.1', fields: { Priority: 'required', Depends: 'libc6' } },
    { package: 'ca-certificates', version: '20230311' },
    { package: `python${python}-minimal`, version: pythonVersion, fields: { Depends: 'libc6' } },
    { package: `python${python}`, version: pythonVersion, fields: { Depends: `python${python}-minimal` } },
    { package: 'ffmpeg', version: '7:5.1.7', fields: { Depends: 'libavcodec59' } },
    { package: 'libavcodec59', version: '7:5.1.7' },
    { package: 'libgl1', version: '1.6.0-1' },
    { package: 'gcc', version: '4:12.2.0-3' },
    { package: 'libc6-dev', version: libc, fields: { Depends: 'libc6' } },
    { package: `libpython${python}-dev`, version: pythonVersion, fields: { Depends: 'libc6-dev' } },
  ]
}

function ubuntuPackages(): DebDescription[] {
  return [
    { package: 'gcc', version: '4:13.2.0-7', fields: { Depends: 'libc6' } },
    { package: 'libc6-dev', version: '2.39-0', fields: { Depends: 'libc6' } },
  ]
}

function frozenHttp(debian: ReadonlyMap<string, TestArchive>): Http {
  const pages = frozenPages()
  const local = makeHttp({ env: {} })
  const archives: readonly (readonly [RegExp, string])[] = [...debian.keys()].map((suite) => [
    new RegExp(
      `^https?://(?:deb\\.debian\\.org|security\\.ubuntu\\.com|archive\\.ubuntu\\.com|snapshot\\.debian\\.org/archive)/.*?(/dists/${suite}[-/].*)$`,
    ),
    suite,
  ])
  return async (request) => {
    const { url } = request
    for (const [pattern, suite] of archives) {
      const path = pattern.exec(url)?.[1]
      if (path !== undefined) return local({ ...request, url: `${debian.get(suite)?.url}${path}` })
    }
    const pool = /^https?:\/\/(?:[^/]*debian|[^/]*ubuntu)[^]*?(\/pool\/.*)$/.exec(url)?.[1]
    if (pool !== undefined) {
      for (const archive of debian.values()) {
        const response = await local({ ...request, url: `${archive.url}${pool}` })
        if (response.status !== 404) return response
        await response.discard()
      }
    }
    if (request.method === 'HEAD') return answer(url, 200, '', { 'content-length': '30000000' })
    const page = pages.get(url)
    if (page !== undefined) return answer(url, 200, renderPage(page), { 'content-type': JSON_PAGE })
    const metadata = /^(.+\/)([^/]+\.whl)\.metadata$/.exec(url)
    const wheel =
      metadata === null
        ? undefined
        : pages.get(metadata[1] ?? '')?.find(({ filename }) => encodeURIComponent(filename) === metadata[2])
    return wheel === undefined ? answer(url, 404, '') : answer(url, 200, wheel.metadata)
  }
}

const JSON_PAGE = 'application/vnd.pypi.simple.v1+json'

function renderPage(wheels: readonly FrozenWheel[]): string {
  const files = wheels.map(({ filename, sha256, sizeBytes, metadata }) => ({
    filename,
    url: encodeURIComponent(filename),
    hashes: { sha256 },
    size: sizeBytes,
    'upload-time': '2025-01-01T00:00:00Z',
    'core-metadata': { sha256: createHash('sha256').update(metadata).digest('hex') },
  }))
  return JSON.stringify({ meta: { 'api-version': '1.1' }, files })
}

function answer(
  url: string,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  const body = (async function* () {
    if (text !== '') yield Buffer.from(text)
  })()
  return {
    status,
    url,
    header: (name) => headers[name.toLowerCase()],
    body,
    bytes: (limit) => collect(body, limit),
    discard: async () => {},
  }
}

/** One small wheel stands for the launcher's packages on every target. */
function launcherTargets(): unknown[] {
  const [wheel] = frozenPages().get('https://pypi.org/simple/starlette/') ?? []
  const wheels = [{ name: 'starlette', version: '0.49.0', ...wheel, metadata: undefined }]
  return ['3.10', '3.11', '3.12', '3.13', '3.14'].flatMap((python) =>
    ['amd64', 'arm64'].map((architecture) => ({ python, libc: 'glibc', architecture, wheels })),
  )
}

/** Stand-ins with what a plan reads of an image: environment, system, interpreter. */
async function openFrozenBase(location: string, platform: LockedPlatform): Promise<OpenedBase> {
  const cuda = /nvidia\/cuda:(\d+\.\d+\.\d+)-.*ubuntu(\d+\.\d+)$/.exec(location)
  const python = /python:(3\.\d+)(\.\d+)?/.exec(location)
  const system = cuda === null ? DEBIAN_SYSTEM : ubuntuSystem(cuda[2] ?? '')
  const layers: Layer[] = [
    await makeLayer({
      ...system,
      ...(cuda === null ? { [`usr/local/bin/python${python?.[1] ?? '3.11'}`]: 'ELF' } : {}),
    }),
  ]
  const [layer] = layers
  if (layer === undefined) throw new RangeError('A stand-in has a layer')
  const version = `${python?.[1] ?? '3.11'}${python?.[2] ?? '.9'}`
  const env =
    cuda === null
      ? ['PATH=/usr/local/bin:/usr/bin:/bin', `PYTHON_VERSION=${version}`]
      : [
          'PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          `CUDA_VERSION=${cuda[1]}`,
          `NVIDIA_REQUIRE_CUDA=${requireCuda(cuda[1] ?? '') ?? ''}`,
          'LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64',
        ]
  return {
    manifest: { ...layer.descriptor, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
    config: {
      ...platform,
      config: { Env: env, Entrypoint: ['/entrypoint.sh'], Labels: { maintainer: 'someone' }, OnBuild: ['RUN date'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    },
    layers,
  }
}

const status = (version: string): string =>
  `Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: someone\nVersion: ${version}\n\n`

const DEBIAN_SYSTEM = {
  'usr/lib/os-release': 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
  'var/lib/dpkg/status': status('2.36-9'),
}

function ubuntuSystem(version: string): Record<string, string> {
  const codename = version === '24.04' ? 'noble' : 'jammy'
  return {
    'usr/lib/os-release': `ID=ubuntu\nVERSION_ID="${version}"\nVERSION_CODENAME=${codename}\n`,
    'var/lib/dpkg/status': status(version === '24.04' ? '2.39-0' : '2.35-0'),
  }
}
