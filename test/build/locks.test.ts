import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { obtainLock, LOCK_FILE, writeLockFile } from '../../src/build/obtain-lock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { makeHttp } from '../../src/core/http.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import type { Lock } from '../../src/lock/lock.ts'
import type { ResolveContext } from '../../src/resolve/context.ts'
import { Store } from '../../src/store/store.ts'
import { makeLayer } from '../support/layers.ts'
import { makeWheel, type MadeWheel } from '../support/wheel.ts'
import { serveWheels, type WheelIndex } from '../support/wheel-index.ts'

const alpha1 = makeWheel({ name: 'alpha', version: '1.0', requires: ['beta>=1'] })
const beta1 = makeWheel({ name: 'beta', version: '1.0' })
const first: readonly MadeWheel[] = [
  makeWheel({ name: 'pip', version: '26.3' }),
  makeWheel({ name: 'setuptools', version: '80.0' }),
  alpha1,
  beta1,
]
const later: readonly MadeWheel[] = [
  ...first,
  makeWheel({ name: 'alpha', version: '2.0', requires: ['beta>=1'] }),
  makeWheel({ name: 'beta', version: '2.0' }),
  makeWheel({ name: 'gamma', version: '1.0', requires: ['beta>=2'] }),
]

let folder: string
let index: WheelIndex
let events: ProgressEvent[]
let context: ResolveContext
/** Files that the base has besides its interpreter. */
let baseFiles: Record<string, string>

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'locks-'))
  events = []
  baseFiles = {}
  await start(first)
})
afterEach(async () => {
  await index.close()
  await rm(folder, { recursive: true })
})

async function start(wheels: readonly MadeWheel[]): Promise<void> {
  index = await serveWheels(wheels)
  await rm(join(folder, 'store'), { recursive: true, force: true })
  const store = await Store.open(join(folder, 'store'))
  const launcherLock = join(folder, 'launcher.lock.json')
  const targets = [{ python: '3.11', libc: 'glibc', architecture: 'amd64', wheels: [] }]
  await writeFile(launcherLock, JSON.stringify({ version: 1, targets }))
  context = {
    http: makeHttp({ env: {} }),
    store,
    cache: (space) => store.cache(space),
    projectFolder: join(folder, 'project'),
    env: { UV_NO_CONFIG: '1' },
    report: (event) => void events.push(event),
    now: () => 1_000_000,
    launcherLock,
    async openBase(_, platform) {
      const layer = await makeLayer({
        'usr/lib/os-release': 'ID=debian\nVERSION_ID="12"\n',
        'var/lib/dpkg/status': 'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n',
        'usr/local/bin/python3.11': 'ELF',
        ...baseFiles,
      })
      const config = { Env: ['PYTHON_VERSION=3.11.9'] }
      return {
        manifest: layer.descriptor,
        config: { ...platform, config, rootfs: { type: 'layers', diff_ids: [layer.diffId] } },
        layers: [layer],
      }
    },
  }
}

/** Writes the project and gives its lock. */
async function lock(build: string, options: { readonly upgrade?: readonly string[] } = {}): Promise<Lock> {
  const { projectFolder } = context
  await mkdir(projectFolder, { recursive: true })
  const yaml = `build:\n  base_image: "docker://base.example/base:1"\n  python_index: { url: "${index.url}" }\n${build}`
  await writeFile(join(projectFolder, 'cog.yaml'), `${yaml}run: "run.py:Runner"\n`)
  await writeFile(join(projectFolder, 'run.py'), 'class Runner:\n    pass\n')
  const { config } = await loadConfig(projectFolder)
  const obtained = await obtainLock(config, context, { mode: 'refresh', ...options })
  await writeFile(join(projectFolder, LOCK_FILE), JSON.stringify(obtained.lock))
  return obtained.lock
}

async function write(name: string, text: string): Promise<void> {
  await mkdir(context.projectFolder, { recursive: true })
  await writeFile(join(context.projectFolder, name), text)
}

const pins = ({ platforms }: Lock): readonly string[] =>
  platforms.flatMap(({ wheels }) => wheels.map(({ name, version }) => `${name}==${version}`))

const packages = (...lines: readonly string[]): string => `  python_packages: ${JSON.stringify(lines)}\n`

test('obtainLock() goes without pip and setuptools where no index has them, and says so', async () => {
  await index.close()
  await start(first.filter(({ filename }) => !/^(pip|setuptools)-/.test(filename)))
  expect(pins(await lock(packages('alpha')))).toEqual(['alpha==1.0', 'beta==1.0'])
  expect(events).toContainEqual(
    expect.objectContaining({ type: 'note', text: 'No index has `pip` and `setuptools`: the image goes without' }),
  )
  await expect(lock(packages('alpha', 'nowhere'))).rejects.toMatchObject({
    code: 'PACKAGE_NOT_FOUND',
    message: expect.not.stringContaining('pip') as string,
  })
  await expect(lock(packages('alpha', 'pip'))).rejects.toMatchObject({ code: 'PACKAGE_NOT_FOUND' })
})

test('a lock file of vendored wheels is used where the project lies elsewhere', async () => {
  for (const { filename, bytes } of first) {
    await mkdir(join(context.projectFolder, 'wheels'), { recursive: true })
    await writeFile(join(context.projectFolder, 'wheels', filename), bytes)
  }
  await write('requirements.txt', `--no-index\n--find-links wheels\n./wheels/${alpha1.filename}\n`)
  const made = await lock('  python_requirements: requirements.txt\n')
  expect(made.platforms[0]?.wheels.map(({ url }) => url)).toEqual(
    expect.arrayContaining([expect.stringContaining('file:///')]) as unknown,
  )
  await writeLockFile(context.projectFolder, made)
  const elsewhere = join(folder, 'elsewhere')
  await rename(context.projectFolder, elsewhere)
  expect(await readFile(join(elsewhere, LOCK_FILE), 'utf8')).not.toContain(folder)
  const { config } = await loadConfig(elsewhere)
  const used = await obtainLock(config, { ...context, projectFolder: elsewhere }, { mode: 'locked' })
  expect(used.lock.platforms[0]?.wheels.map(({ url }) => url)).toEqual(
    made.platforms[0]?.wheels.map(({ url }) => url.replace('/project/', '/elsewhere/')),
  )
})

test('obtainLock() keeps what the lock file has, upgrades what it is told to, or everything', async () => {
  await lock(packages('alpha'))
  await index.close()
  await start(later)
  const old = ['alpha==1.0', 'beta==1.0', 'pip==26.3', 'setuptools==80.0']
  expect(pins(await lock(packages('alpha'), { upgrade: [] }))).toEqual(old)
  expect(pins(await lock(packages('alpha'), { upgrade: ['Beta'] }))).toEqual([
    'alpha==1.0',
    'beta==2.0',
    ...old.slice(2),
  ])
  expect(pins(await lock(packages('alpha')))).toEqual(['alpha==2.0', 'beta==2.0', ...old.slice(2)])
})

test('obtainLock() lets go of a version that no longer fits, and of no other', async () => {
  await lock(packages('alpha'))
  await index.close()
  await start(later)
  expect(pins(await lock(packages('alpha', 'gamma'), { upgrade: [] }))).toEqual([
    'alpha==1.0',
    'beta==2.0',
    'gamma==1.0',
    'pip==26.3',
    'setuptools==80.0',
  ])
})

test('obtainLock() replaces a lock file that is damaged, and tells that its versions are lost', async () => {
  await write(LOCK_FILE, '{')
  expect(pins(await lock(packages('alpha'), { upgrade: [] }))).toContain('alpha==1.0')
  expect(events).toContainEqual(
    expect.objectContaining({ level: 'warning', text: expect.stringContaining('no version is kept') as string }),
  )
})

const wheelEntry = ({ filename, sha256, bytes }: MadeWheel, size: boolean): string =>
  `{ name = "${filename}", url = "${new URL(`/files/${filename}`, index.url).href}", ${size ? `size = ${bytes.length}, ` : ''}hashes = { sha256 = "${sha256}" } }`

test('obtainLock() takes the wheels of a pylock.toml, asking the index for pip alone', async () => {
  const entry = (wheel: MadeWheel, name: string, marker: string, size: boolean): string =>
    `[[packages]]\nname = "${name}"\nversion = "1.0"\n${marker}wheels = [${wheelEntry(wheel, size)}]\n`
  await write(
    'pylock.toml',
    [
      'lock-version = "1.0"\ncreated-by = "test"\nextras = ["more"]\n',
      entry(alpha1, 'alpha', '', true),
      entry(beta1, 'beta', `marker = "'more' in extras"\n`, false),
      entry(beta1, 'cog', '', true),
    ].join('\n'),
  )
  index.requests.length = 0
  const made = await lock('  python_requirements: pylock.toml\n')
  expect(pins(made)).toEqual(['alpha==1.0', 'pip==26.3', 'setuptools==80.0'])
  expect(index.requests.filter((path) => path.startsWith('/simple/')).sort()).toEqual([
    '/simple/pip/',
    '/simple/setuptools/',
  ])
  expect(events).toContainEqual(expect.objectContaining({ code: 'COG_REQUIREMENT' }))
  const more = await lock('  python_requirements: pylock.toml\n  extras: [more]\n')
  expect(pins(more)).toEqual(['alpha==1.0', 'beta==1.0', 'pip==26.3', 'setuptools==80.0'])
  expect(more.platforms[0]?.wheels[1]).toMatchObject({ sizeBytes: beta1.bytes.length, sha256: beta1.sha256 })
  expect(more.inputs).not.toBe(made.inputs)
})

test('obtainLock() takes what a uv.lock has for the target, with the groups that cog.yaml names', async () => {
  const entry = ({ filename, sha256, bytes }: MadeWheel, name: string, more = ''): string =>
    `[[package]]\nname = "${name}"\nversion = "1.0"\nsource = { registry = "${index.url}" }\n${more}wheels = [{ url = "${new URL(`/files/${filename}`, index.url).href}", hash = "sha256:${sha256}", size = ${bytes.length} }]\n`
  await write(
    'uv.lock',
    [
      'version = 1\nrequires-python = ">=3.11"\n',
      '[[package]]\nname = "model"\nversion = "0.1"\nsource = { virtual = "." }\n',
      `dependencies = [{ name = "alpha", marker = "sys_platform == 'linux'" }]\n[package.dev-dependencies]\nserve = [{ name = "beta" }]\n`,
      entry(alpha1, 'alpha'),
      entry(beta1, 'beta'),
    ].join('\n'),
  )
  expect(pins(await lock('  python_requirements: uv.lock\n'))).toEqual(['alpha==1.0', 'pip==26.3', 'setuptools==80.0'])
  const { platforms } = await lock('  python_requirements: uv.lock\n  groups: [serve]\n')
  const requested = platforms.flatMap(({ wheels }) => wheels.filter((wheel) => wheel.requested).map(({ name }) => name))
  expect(requested).toEqual(['alpha', 'beta'])
  await expect(lock('  python_requirements: uv.lock\n  extras: [none]\n')).rejects.toMatchObject({
    code: 'PROJECT_INVALID',
  })
})

test('obtainLock() refuses a lock that was made for another Python', async () => {
  await write('pylock.toml', 'lock-version = "1.0"\nrequires-python = ">=3.12"\n')
  await expect(lock('  python_requirements: pylock.toml\n')).rejects.toMatchObject({ code: 'LOCK_STALE' })
})

const SITE = 'usr/local/lib/python3.11/site-packages'
const metadata = (name: string, version: string, ...requires: readonly string[]): string =>
  `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n${requires.map((each) => `Requires-Dist: ${each}\n`).join('')}`

test('obtainLock() uses what the base has, on request, as long as it fits', async () => {
  await index.close()
  await start(later)
  baseFiles = {
    [`${SITE}/beta-1.0.dist-info/METADATA`]: metadata('Beta', '1.0'),
    [`${SITE}/only_here-3.dist-info/METADATA`]: metadata('only-here', '3', 'beta'),
    [`${SITE}/pip-20.dist-info/METADATA`]: metadata('pip', '20'),
    [`${SITE}/broken-1.dist-info/METADATA`]: 'nothing',
  }
  expect(pins(await lock(packages('alpha')))).toEqual(['alpha==2.0', 'beta==2.0', 'pip==26.3', 'setuptools==80.0'])
  const asked = '  system_site_packages: true\n'
  const shared = await lock(packages('alpha', 'only-here') + asked)
  expect(pins(shared)).toEqual(['alpha==2.0', 'pip==26.3', 'setuptools==80.0'])
  expect(shared.platforms[0]?.choices).toContainEqual(
    expect.objectContaining({ key: 'base packages', value: 'beta 1.0, only-here 3' }),
  )
  expect(shared.platforms[0]?.wheels[0]?.dependencies).toEqual([])
  // Version 1.0 does not do for gamma: the environment's own one is laid before it.
  expect(pins(await lock(packages('gamma') + asked))).toEqual([
    'beta==2.0',
    'gamma==1.0',
    'pip==26.3',
    'setuptools==80.0',
  ])
})

test('obtainLock() refuses to use the packages of an interpreter that is not used', async () => {
  const interpreter =
    '  interpreter: { url: "https://e.example/cpython-3.12.4.tar.gz", sha256: "' + '0'.repeat(64) + '" }\n'
  context = {
    ...context,
    http: async ({ url }) => ({
      status: 200,
      url,
      header: (name) => (name === 'content-length' ? '1' : undefined),
      body: (async function* () {})(),
      bytes: async () => Buffer.alloc(0),
      discard: async () => {},
    }),
  }
  const build = `${packages('alpha')}  python_version: "3.12"\n  system_site_packages: true\n${interpreter}`
  await expect(lock(build)).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
})
