/**
 * How many requests do pushes, pulls and copies cost, which faults are survived, and what do large blobs cost, beside
 * crane, skopeo, regctl and oras?
 *
 * Against Debian's docker-registry behind a proxy that counts and breaks requests. 20 layers of 1 MiB and a configuration
 * for the counts, 5 layers for the faults (`test/support/registry-faults.ts`: a survey's 30 and 36 more), one layer of `--large` MiB
 * for CPU seconds and peak memory (median of `--runs`, the clients in turn). Peers are built with Go or must be installed,
 * else they are left out. Prints JSON.
 *
 * Needs docker-registry and GNU time; the program built (`npm run build`). Node 22.18 or newer runs it as it is:
 * `node bench/registry.ts [--only layerwright,crane] [--part requests,faults,large] [--large 1024] [--runs 3]`.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { collect } from '../src/core/bytes.ts'
import { copyImage, openDestination, openImage } from '../src/destinations/index.ts'
import { makeImage } from '../src/image/make-image.ts'
import { freePort, isListening } from '../test/support/docker-registry.ts'
import { sampleLayer } from '../test/support/sample-image.ts'
import { findTool, goTool } from '../test/support/tool.ts'
import { CASES, type Case } from '../test/support/registry-faults.ts'
import { startProxy } from '../test/support/registry-proxy.ts'

const run = promisify(execFile)

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'layerwright,crane,skopeo,regctl,oras' },
    part: { type: 'string', default: 'requests,faults,large' },
    large: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '3' },
    program: { type: 'string', default: path.join(process.cwd(), 'bin/layerwright.mjs') },
  },
})

/** How a client moves an image between a layout and a registry, or within a registry. */
interface Client {
  readonly program: string
  push(layout: string, reference: string): readonly string[]
  pull(reference: string, layout: string): readonly string[]
  copy(from: string, to: string): readonly string[]
}

const CLIENTS: Readonly<Record<string, Client>> = {
  layerwright: {
    program: process.execPath,
    push: (layout, reference) => [options.program, 'copy', '--quiet', `oci:${layout}:v1`, reference],
    pull: (reference, layout) => [options.program, 'copy', '--quiet', reference, `oci:${layout}:v1`],
    copy: (from, to) => [options.program, 'copy', '--quiet', from, to],
  },
  crane: {
    program: 'crane',
    push: (layout, reference) => ['push', layout, reference],
    pull: (reference, layout) => ['pull', '--format=oci', reference, layout],
    copy: (from, to) => ['copy', from, to],
  },
  skopeo: {
    program: 'skopeo',
    push: (layout, reference) => ['copy', '--dest-tls-verify=false', `oci:${layout}:v1`, `docker://${reference}`],
    pull: (reference, layout) => ['copy', '--src-tls-verify=false', `docker://${reference}`, `oci:${layout}:v1`],
    copy: (from, to) => [
      'copy',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      `docker://${from}`,
      `docker://${to}`,
    ],
  },
  regctl: {
    program: 'regctl',
    push: (layout, reference) => ['image', 'copy', `ocidir://${layout}:v1`, reference],
    pull: (reference, layout) => ['image', 'copy', reference, `ocidir://${layout}:v1`],
    copy: (from, to) => ['image', 'copy', from, to],
  },
  oras: {
    program: 'oras',
    push: (layout, reference) => ['cp', '--from-oci-layout', `${layout}:v1`, '--to-plain-http', reference],
    pull: (reference, layout) => ['cp', '--from-plain-http', reference, '--to-oci-layout', `${layout}:v1`],
    copy: (from, to) => ['cp', '--from-plain-http', '--to-plain-http', from, to],
  },
}

/** Modules of the peers that are Go programs; built once into the project's cache. */
const GO_TOOLS: Readonly<Record<string, string>> = {
  crane: 'github.com/google/go-containerregistry/cmd/crane@v0.22.1',
  regctl: 'github.com/regclient/regclient/cmd/regctl@v0.11.7',
  oras: 'oras.land/oras/cmd/oras@v1.3.6',
}

const folder = await mkdtemp(path.join(tmpdir(), 'bench-registry-'))
const registry = await startRegistry()
const proxy = await startProxy(registry.port)
try {
  const clients = await installed(options.only.split(','))
  const parts = new Set(options.part.split(','))
  const results: Record<string, unknown> = { machine: `${cpus().length} x ${cpus()[0]?.model}`, node: process.version }
  if (parts.has('requests')) results['requests'] = await countRequests(clients)
  if (parts.has('faults')) results['faults'] = await tryFaults(clients)
  if (parts.has('large')) results['large'] = await moveLarge(clients)
  process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`)
} finally {
  proxy.close()
  registry.stop()
  await rm(folder, { recursive: true, force: true })
}

async function countRequests(clients: readonly string[]): Promise<Record<string, Record<string, number | string>>> {
  const layout = await makeLayout('counted', 20, 1 << 20)
  const table: Record<string, Record<string, number | string>> = {}
  for (const name of clients) {
    const client = CLIENTS[name] as Client
    const at = (repository: string): string => `${proxy.host}/${name}/${repository}:v1`
    const count = async (args: readonly string[]): Promise<number | string> => {
      proxy.reset()
      const { ok, output } = await attempt(client, args)
      return ok ? proxy.count() : output
    }
    table[name] = {
      'fresh push': await count(client.push(layout, at('app'))),
      'no-op push': await count(client.push(layout, at('app'))),
      'derived image': await countDerived(name, at, count),
      'copy to another repository': await count(client.copy(at('app'), at('other'))),
      pull: await count(client.pull(at('app'), path.join(folder, `pulled-${name}`))),
    }
  }
  return table
}

/** One layer more on a base that lies in another repository. Ours has no command for it: a build does it. */
async function countDerived(
  name: string,
  at: (repository: string) => string,
  count: (args: readonly string[]) => Promise<number | string>,
): Promise<number | string> {
  const layer = path.join(folder, 'layer.tar.gz')
  const own = sampleLayer('own', 1 << 20)
  await writeFile(layer, await collect(own.open(), 1 << 24))
  if (name === 'crane') return count(['append', '-b', at('app'), '-f', layer, '-t', at('derived')])
  if (name === 'regctl')
    return count(['image', 'mod', at('app'), '--create', at('derived'), '--layer-add', `tar=${layer}`])
  if (name !== 'layerwright') return 'no such operation'
  const base = await openImage(at('app'), {})
  const derived = makeImage({
    platform: { os: 'linux', architecture: 'amd64' },
    layers: [...base.layers, own],
    runtime: { Cmd: ['/own'] },
    baseLayerCount: base.layers.length,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format: 'oci',
  })
  proxy.reset()
  await copyImage(derived, await openDestination(at('derived'), {}))
  return proxy.count()
}

async function tryFaults(clients: readonly string[]): Promise<Record<string, unknown>> {
  const table: Record<string, Record<string, string>> = {}
  const passed: Record<string, string> = {}
  const layout = await makeLayout('faulty', 5, 1 << 20)
  for (const name of clients) {
    const counts: string[] = []
    for (const [set, cases] of Object.entries(CASES)) {
      let count = 0
      for (const [index, broken] of cases.entries()) {
        const tried = await tryFault(CLIENTS[name] as Client, layout, `${name}/${set}${index}`, broken)
        if (tried.isRight) count++
        const row = (table[`${broken.operation}: ${broken.what}`] ??= {})
        row[name] = tried.told
      }
      counts.push(`${count} of ${cases.length}`)
    }
    passed[name] = counts.join(', ')
  }
  return { passed, table }
}

/** Right is: done with the right bytes, or refused without a tag, as the case wants; in less than 10 s, no secret told. */
async function tryFault(
  client: Client,
  layout: string,
  repository: string,
  { operation, succeeds, faults, tokens }: Case,
): Promise<{ readonly isRight: boolean; readonly told: string }> {
  const from = `${proxy.host}/${repository}:v1`
  const to = operation === 'copy' ? `${repository}-copy` : repository
  const target = path.join(folder, 'pulled', repository)
  await mkdir(path.dirname(target), { recursive: true })
  proxy.reset()
  if (operation !== 'push') await attempt(client, client.push(layout, from))
  const args = {
    push: () => client.push(layout, from),
    pull: () => client.pull(from, target),
    copy: () => client.copy(from, `${proxy.host}/${to}:v1`),
  }[operation]()
  proxy.reset(faults, tokens)
  const startMs = Date.now()
  const { ok } = await attempt(client, args)
  const seconds = (Date.now() - startMs) / 1000
  const isWhole = operation === 'pull' ? await isWholeLayout(target, layout) : await isWholeImage(to, layout)
  const complaints = proxy.complaints()
  const isRight = ok === succeeds && isWhole === succeeds && seconds < 10 && complaints.length === 0
  const notes = [...complaints, ...(ok && !isWhole ? ['wrong bytes'] : [])].map((note) => `, ${note}`).join('')
  const what = `${ok ? 'ok' : 'refused'} ${seconds.toFixed(1)} s, ${proxy.count()} requests${notes}`
  return { isRight, told: `${isRight ? '' : 'WRONG '}${what}` }
}

/** Whether all blobs of the original lie in a layout, with the right bytes. */
async function isWholeLayout(target: string, original: string): Promise<boolean> {
  if (!(await hasFile(path.join(target, 'index.json')))) return false
  for (const hex of await readdir(path.join(original, 'blobs', 'sha256'))) {
    const file = path.join(target, 'blobs', 'sha256', hex)
    if (!(await hasFile(file))) return false
    if (
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex') !== hex
    )
      return false
  }
  return true
}

/** Whether the registry itself has the tag and all blobs. It proves their bytes when they are put there. */
async function isWholeImage(repository: string, original: string): Promise<boolean> {
  const at = `http://127.0.0.1:${registry.port}/v2/${repository}`
  const accept = 'application/vnd.oci.image.manifest.v1+json'
  const answer = await fetch(`${at}/manifests/v1`, { headers: { accept } })
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (answer.status !== 200) return false
  const index = JSON.parse(await readFile(path.join(original, 'index.json'), 'utf8')) as {
    manifests: [{ digest: string }]
  }
  if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== index.manifests[0].digest) return false
  const { config, layers } = JSON.parse(bytes.toString()) as {
    config: { digest: string }
    layers: { digest: string }[]
  }
  for (const { digest } of [config, ...layers])
    if ((await fetch(`${at}/blobs/${digest}`, { method: 'HEAD' })).status !== 200) return false
  return true
}

async function hasFile(file: string): Promise<boolean> {
  try {
    await access(file)
    return true
  } catch {
    return false
  }
}

async function moveLarge(clients: readonly string[]): Promise<Record<string, unknown>> {
  const layout = await makeLarge(Number(options.large))
  const usages = new Map(clients.map((name) => [name, { push: [] as Usage[], pull: [] as Usage[] }]))
  for (let round = 0; round < Number(options.runs); round++) {
    for (const [name, measured] of usages) {
      const client = CLIENTS[name] as Client
      const reference = `localhost:${registry.port}/${name}/large${round}:v1`
      const target = path.join(folder, `large-${name}`)
      measured.push.push(await measure(client, client.push(layout, reference)))
      measured.pull.push(await measure(client, client.pull(reference, target)))
      await rm(target, { recursive: true, force: true })
    }
  }
  const tell = (runs: readonly Usage[]): string =>
    `${median(runs.map(({ wall }) => wall))} s, ${median(runs.map(({ cpu }) => cpu))} CPU s, ${median(runs.map(({ mib }) => mib))} MiB`
  return Object.fromEntries([...usages].map(([name, { push, pull }]) => [name, { push: tell(push), pull: tell(pull) }]))
}

interface Usage {
  readonly wall: number
  readonly cpu: number
  readonly mib: number
}

async function measure(client: Client, args: readonly string[]): Promise<Usage> {
  const { stderr } = await run('/usr/bin/time', ['-f', '%e %U %S %M', client.program, ...args])
  const [wall = 0, user = 0, system = 0, kib = 0] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
  return { wall, cpu: user + system, mib: Math.round(kib / 1024) }
}

async function attempt(
  client: Client,
  args: readonly string[],
  program = client.program,
): Promise<{ readonly ok: boolean; readonly output: string }> {
  try {
    await run(program, args, { timeout: 60_000, maxBuffer: 1 << 26 })
    return { ok: true, output: '' }
  } catch (error) {
    return {
      ok: false,
      output: String((error as { stderr?: string }).stderr ?? error)
        .trim()
        .slice(-300),
    }
  }
}

async function installed(names: readonly string[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const name of names) {
    const program = CLIENTS[name]?.program
    if (program === undefined) throw new RangeError(`No such client: ${name}`)
    const module = GO_TOOLS[name]
    const tool = module === undefined ? undefined : await goTool(module)
    if (tool !== undefined) process.env['PATH'] = `${path.dirname(tool)}${path.delimiter}${process.env['PATH']}`
    if (name === 'layerwright' || tool !== undefined || (await findTool(program)) !== undefined) found.push(name)
    else process.stderr.write(`${name} is not installed and left out\n`)
  }
  // Its configuration is a file of the user's otherwise.
  process.env['REGCTL_CONFIG'] = path.join(folder, 'regctl.json')
  if (found.includes('regctl'))
    for (const host of [proxy.host, `localhost:${registry.port}`])
      await run('regctl', ['registry', 'set', '--skip-check', '--tls=disabled', host])
  return found
}

/** A layout with layers of random bytes: nothing to compress, nothing to guess. */
async function makeLayout(name: string, layers: number, sizeBytes: number): Promise<string> {
  const layout = await startLayout(name)
  const descriptors: Descriptor[] = []
  for (let i = 0; i < layers; i++) descriptors.push(await putBlob(layout, randomBytes(sizeBytes)))
  return finishLayout(layout, descriptors)
}

/** A layout with one layer of any size, written piece by piece. */
async function makeLarge(mib: number): Promise<string> {
  const layout = await startLayout('large')
  const file = path.join(layout, 'blobs', 'sha256', 'unnamed')
  const hash = createHash('sha256')
  const handle = await open(file, 'w')
  for (let i = 0; i < mib; i++) {
    const bytes = randomBytes(1 << 20)
    hash.update(bytes)
    await handle.write(bytes)
  }
  await handle.close()
  const hex = hash.digest('hex')
  await rename(file, path.join(layout, 'blobs', 'sha256', hex))
  return finishLayout(layout, [{ digest: `sha256:${hex}`, size: mib * 2 ** 20 }])
}

interface Descriptor {
  readonly digest: string
  readonly size: number
}

async function startLayout(name: string): Promise<string> {
  const layout = path.join(folder, name)
  await mkdir(path.join(layout, 'blobs', 'sha256'), { recursive: true })
  return layout
}

async function putBlob(layout: string, bytes: Buffer): Promise<Descriptor> {
  const hex = createHash('sha256').update(bytes).digest('hex')
  await writeFile(path.join(layout, 'blobs', 'sha256', hex), bytes)
  return { digest: `sha256:${hex}`, size: bytes.length }
}

async function finishLayout(layout: string, blobs: readonly Descriptor[]): Promise<string> {
  const json = (value: object): Promise<Descriptor> => putBlob(layout, Buffer.from(JSON.stringify(value)))
  const layers = blobs.map((blob) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob }))
  const rootfs = { type: 'layers', diff_ids: blobs.map(({ digest }) => digest) }
  const config = await json({ architecture: 'amd64', os: 'linux', config: {}, rootfs })
  const manifest = await json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers,
  })
  const annotations = { 'org.opencontainers.image.ref.name': 'v1' }
  const entry = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, annotations }
  await writeFile(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(path.join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
  return layout
}

async function startRegistry(): Promise<{ readonly port: number; readonly stop: () => void }> {
  const port = await freePort()
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: path.join(folder, 'registry') } },
    http: { addr: `127.0.0.1:${port}` },
    log: { level: 'error', accesslog: { disabled: true } },
  }
  await writeFile(path.join(folder, 'registry.yml'), JSON.stringify(config))
  await access('/usr/bin/docker-registry')
  const child = spawn('docker-registry', ['serve', path.join(folder, 'registry.yml')], { stdio: 'ignore' })
  for (let tries = 0; tries < 200 && !(await isListening(port)); tries++) await delay(50)
  return { port, stop: () => void child.kill('SIGKILL') }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Number((sorted[sorted.length >> 1] ?? 0).toFixed(2))
}
