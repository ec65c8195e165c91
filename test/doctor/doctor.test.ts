import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { layerKey, type LayerSpec } from '../../layers/kinds/index.ts'
import { layerStore } from '../../layers/layer-store.ts'
import { saveNotes } from '../../layers/notes.ts'
import { runCommandLine } from '../../src/cli/main.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { makeHttp } from '../../src/core/http.ts'
import type { CheckResult } from '../../src/doctor/check.ts'
import { CHECKS, examine, hasErrors, type DoctorOptions } from '../../src/doctor/doctor.ts'
import type { Lock, PlatformLock } from '../../src/lock/lock.ts'
import { wheelLayersOf } from '../../src/plan/make-plan.ts'
import { Store } from '../../src/store/store.ts'
import { recordIo } from '../support/output.ts'

const folders: string[] = []
/** Answers everything with the status that the path ends in, else 200; its clock can be wrong. */
let server: Server
let address: string
let skewMs = 0

beforeAll(async () => {
  server = createServer((request, response) => {
    const status = Number(/\/status-(\d+)\//.exec(request.url ?? '')?.[1] ?? 200)
    response.writeHead(status, { date: new Date(Date.now() - skewMs).toUTCString() }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
})
afterAll(async () => {
  server.close()
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true })))
})

async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
  folders.push(folder)
  return folder
}

/** A copy of a fixture project, with more files. */
async function project(name: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = join(await temporary(), name)
  await cp(join(packageRoot(), 'fixtures/projects', name), folder, { recursive: true })
  for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text)
  return folder
}

async function look(folder: string, options: Partial<DoctorOptions> = {}): Promise<ReadonlyMap<string, CheckResult>> {
  const home = await temporary()
  const results = await examine({
    folder,
    env: { PATH: process.env['PATH'], HOME: home, LAYERWRIGHT_CACHE: join(home, 'cache') },
    http: makeHttp({ env: {}, retry: false }),
    addresses: { pythonIndex: `${address}simple/`, debianArchive: `${address}debian` },
    driver: '550.54.15',
    // Looking at the machine starts processes: only the test of a whole examination does.
    groups: ['network', 'gpu', 'project'],
    ...options,
  })
  return new Map(results.map((result) => [result.id, result]))
}

describe('examine()', () => {
  it('looks at more than 20 things, each of its own name', () => {
    expect(CHECKS.length).toBeGreaterThan(20)
    expect(new Set(CHECKS.map(({ id }) => id)).size).toBe(CHECKS.length)
  })

  it('finds nothing wrong with a sound project', async () => {
    const results = await look(await project('hello', { '.dockerignore': '.git\n' }), { groups: undefined })
    const wrong = [...results.values()].filter(({ status }) => status === 'error' || status === 'warning')
    // What the machine of the test lacks is no fault of the project.
    expect(wrong.filter(({ group }) => group !== 'machine')).toEqual([])
    expect(results.get('predictor')?.message).toBe('takes text')
    expect(results.get('python-index')?.status).toBe('ok')
  })

  it('says where a broken cog.yaml is broken', async () => {
    const results = await look(await project('error-unknown-key'))
    expect(results.get('config')).toMatchObject({
      status: 'error',
      message: expect.stringContaining('pyton_version') as string,
    })
    expect(results.get('predictor')?.status).toBe('skipped')
    expect(hasErrors([...results.values()])).toBe(true)
  })

  it('says what is wrong with a predictor', async () => {
    const results = await look(await project('error-predictor'))
    expect(results.get('predictor')).toMatchObject({
      status: 'error',
      message: expect.stringContaining('predict.py:10:9') as string,
    })
  })

  it('asks for a cog.yaml where there is none', async () => {
    const results = await look(await temporary())
    expect(results.get('config')).toMatchObject({
      status: 'warning',
      remedy: expect.stringContaining('layerwright init') as string,
    })
  })

  it('compares versions, and the driver of this machine with them', async () => {
    const conflict = await look(await project('error-driver'))
    expect(conflict.get('compatibility')).toMatchObject({
      status: 'error',
      message: expect.stringContaining('is stated as the oldest') as string,
    })
    const fits = await look(await project('gpu-empty'))
    expect(fits.get('compatibility')?.message).toContain('CUDA 12.9.1')
    expect(fits.get('driver-fit')?.status).toBe('ok')
    const old = await look(await project('gpu-empty'), { driver: '470.82.01' })
    expect(old.get('driver-fit')?.status).toBe('warning')
  })

  it('looks for GPUs where the variables say that runs look for them', async () => {
    const root = await temporary()
    const put = async (path: string, text: string): Promise<void> => {
      await mkdir(join(root, path, '..'), { recursive: true })
      await writeFile(join(root, path), text)
    }
    await put('dev/nvidia0', '')
    await put(
      'proc/driver/nvidia/version',
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release\n',
    )
    const spec = {
      cdiVersion: '0.5.0',
      kind: 'nvidia.com/gpu',
      devices: [{ name: 'all', containerEdits: { env: ['A=b'] } }],
    }
    await put('cdi/nvidia.json', JSON.stringify(spec))
    const env = { LAYERWRIGHT_NVIDIA_ROOT: root, LAYERWRIGHT_CDI_DIRS: join(root, 'cdi') }
    const found = await look(await project('gpu-empty'), { env, driver: undefined, groups: ['gpu'] })
    expect(found.get('driver')?.message).toBe('580.159.04, for CUDA up to 13.0')
    expect(found.get('cdi')?.message).toBe('nvidia.com/gpu=all')
    await put('cdi/nvidia.json', JSON.stringify({ ...spec, cdiVersion: '9.0.0' }))
    const broken = await look(await project('gpu-empty'), { env, driver: undefined, groups: ['gpu'] })
    expect(broken.get('cdi')).toMatchObject({ status: 'warning', message: expect.stringContaining('9.0.0') as string })
  })

  it('tells of an index that refuses, fails, or is not there', async () => {
    const folder = await project('hello')
    const at = async (path: string) => {
      const addresses = { pythonIndex: `${address}${path}`, debianArchive: `${address}debian` }
      return (await look(folder, { addresses })).get('python-index')
    }
    expect(await at('status-401/simple/')).toMatchObject({
      status: 'error',
      message: expect.stringContaining('credentials') as string,
    })
    expect(await at('status-500/simple/')).toMatchObject({ status: 'warning' })
    const addresses = { pythonIndex: 'http://127.0.0.1:9/simple/', debianArchive: `${address}debian` }
    expect((await look(folder, { addresses })).get('python-index')?.status).toBe('error')
  })

  it('notices a wrong clock', async () => {
    const folder = await project('hello')
    skewMs = 3_600_000
    expect((await look(folder)).get('clock')).toMatchObject({
      status: 'warning',
      message: expect.stringContaining('ahead of') as string,
    })
    skewMs = 0
    expect((await look(folder)).get('clock')?.status).toBe('ok')
  })

  it('notices secrets, links that leave, and names that differ in case only', async () => {
    const folder = await project('hello', { '.env': 'KEY=1', 'Data.txt': '', 'data.txt': '' })
    const results = await look(folder)
    expect(results.get('secrets')?.status).toBe('warning')
    expect(results.get('case-collisions')).toMatchObject({ status: 'warning' })
    await symlink('/etc/passwd', join(folder, 'leak'))
    expect((await look(folder)).get('links')?.status).toBe('error')
  })

  it('notices an odd home and certificates that are none', async () => {
    const cache = await temporary()
    const env = {
      HOME: join(cache, 'none'),
      LAYERWRIGHT_CACHE: cache,
      SSL_CERT_FILE: join(packageRoot(), 'package.json'),
    }
    const results = await look(await project('hello'), { env, groups: undefined })
    expect(results.get('home')?.status).toBe('warning')
    expect(results.get('certificates')).toMatchObject({ status: 'error' })
    // Nobody, root included, makes files there.
    const unwritable = await look(await project('hello'), { env: { ...env, HOME: '/proc' }, groups: undefined })
    expect(unwritable.get('home')).toMatchObject({ status: 'warning', message: 'HOME cannot be written: /proc' })
  })

  it.skipIf(process.platform !== 'linux')('says of a store that cannot be made that it cannot', async () => {
    for (const cache of ['/proc/layerwright/store', '/dev/null/store']) {
      const results = await look(await project('hello'), { env: { LAYERWRIGHT_CACHE: cache }, groups: ['machine'] })
      expect(results.get('store'), cache).toMatchObject({ status: 'error' })
      expect(results.get('disk')).toMatchObject({ status: 'error' })
      expect(results.get('store')?.message).toContain(`${cache} cannot be written`)
      expect(results.get('node')?.status).toBe('ok')
    }
  })

  it('tells results group by group', async () => {
    const options = { folder: await project('hello'), env: { LAYERWRIGHT_CACHE: await temporary() }, offline: true }
    const groups = (await examine(options)).map(({ group }) => group)
    expect(groups.filter((group, place) => group !== groups[place - 1])).toEqual([
      'machine',
      'network',
      'gpu',
      'project',
    ])
  })

  it('puts right what it can, and nothing without being asked', async () => {
    const folder = await project('notebook')
    await mkdir(join(folder, '.git'))
    await look(folder)
    expect(await readFile(join(folder, 'cog.yaml'), 'utf8')).toContain('predict:')
    const fixed = await look(folder, { fix: true })
    expect(fixed.get('deprecated-keys')?.fixed).toBeDefined()
    expect(fixed.get('ignore-file')?.fixed).toBeDefined()
    expect(await readFile(join(folder, 'cog.yaml'), 'utf8')).toContain('\nrun: predict.py:Predictor')
    const after = await look(folder)
    expect(after.get('ignore-file')?.status).toBe('ok')
    expect(after.get('deprecated-keys')?.message).not.toContain('predict')
  })

  it('compares the GPU code of locked packages, as far as they were laid here, with the stated GPUs', async () => {
    const yaml = (architecture: string): string =>
      `build:\n  gpu: true\n  targets: { architectures: ["${architecture}"] }\nrun: "predict.py:Predictor"\n`
    const folder = await project('gpu-empty', { 'cog.yaml': yaml('8.0') })
    const cache = await temporary()
    const env = { HOME: cache, LAYERWRIGHT_CACHE: cache }
    const check = async (): Promise<CheckResult | undefined> => (await look(folder, { env })).get('gpu-code')
    expect(await check()).toMatchObject({ status: 'skipped', message: 'There is no layerwright.lock' })
    const { lock, spec } = lockOfOneWheel()
    await writeFile(join(folder, 'layerwright.lock'), JSON.stringify(lock))
    expect(await check()).toMatchObject({ status: 'skipped' })
    const path = 'opt/venv/lib/python3.11/site-packages/kernels/_C.so'
    const libraries = [{ path, needed: [], searchPath: [], cudaArchitectures: ['sm_80'] }]
    const claims = [{ path, package: 'kernels 1.0', content: 'sha256=x' }]
    const { notes } = layerStore(await Store.open(cache))
    await saveNotes(layerKey(spec), { claims, findings: () => ({ libraries }) } as never, notes)
    expect(await check()).toMatchObject({ status: 'ok', message: 'kernels 1.0: sm_80' })
    await writeFile(join(folder, 'cog.yaml'), yaml('9.0'))
    expect(await check()).toMatchObject({
      status: 'error',
      message: expect.stringContaining('kernels 1.0 has no code for GPU architecture 9.0') as string,
    })
  })

  it('asks nobody when it is told to stay offline', async () => {
    const http = () => Promise.reject(new TypeError('asked'))
    const results = await look(await project('gpu-torch'), { offline: true, http })
    expect(
      [...results.values()].filter(({ group }) => group === 'network').every(({ status }) => status === 'skipped'),
    ).toBe(true)
  })
})

describe('layerwright doctor', () => {
  it('prints JSON with every check, and ends with status 1 when one fails', async () => {
    const io = recordIo()
    expect(await runCommandLine(['doctor', '--offline', '--json', await project('error-types')], io)).toBe(1)
    const { checks } = JSON.parse(io.stdout.text()) as { checks: CheckResult[] }
    expect(checks.map(({ id }) => id).sort()).toEqual(CHECKS.map(({ id }) => id).sort())
  })

  it('prints a page with a remedy below each finding', async () => {
    const io = recordIo()
    await runCommandLine(['doctor', '--offline', await project('hello')], io)
    expect(io.stdout.text()).toMatch(/warn {2}\.dockerignore[^\n]*\n\s+-> Add one/)
    expect(io.stdout.text().trimEnd().split('\n').at(-1)).toMatch(/^\d+ ok, \d+ warnings?, \d+ errors, \d+ skipped$/)
  })
})

/** A lock with one wheel, and the spec of the layer that it becomes. */
function lockOfOneWheel(): { readonly lock: Lock; readonly spec: LayerSpec } {
  const file = {
    filename: 'kernels-1.0-py3-none-any.whl',
    url: 'https://f.example/k.whl',
    sha256: '0'.repeat(64),
    sizeBytes: 1,
  }
  const platform: PlatformLock = {
    platform: { os: 'linux', architecture: 'amd64' },
    base: {
      kind: 'debian',
      suite: 'bookworm',
      packages: {
        suite: 'bookworm',
        architecture: 'amd64',
        releases: [],
        packages: [],
        upgraded: [],
        scriptsNotRun: [],
      },
    },
    interpreter: { kind: 'debian', version: '3.11.2', executable: '/usr/bin/python3.11' },
    libc: { kind: 'glibc', major: 2, minor: 36 },
    wheels: [{ ...file, name: 'kernels', version: '1.0', requested: true, dependencies: [] }],
    launcher: [],
    choices: [],
  }
  const [layer] = wheelLayersOf(platform).wheels
  if (layer === undefined) throw new Error('One wheel makes one layer')
  return { lock: { lockVersion: 1, inputs: `sha256:${'0'.repeat(64)}`, platforms: [platform] }, spec: layer.spec }
}
