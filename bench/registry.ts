/**
 * How many requests do pushes, pulls and copies cost, which faults are survived, and what do large blobs cost, beside
 * crane, skopeo, regctl and oras?
 *
 * Against Debian's docker-registry behind a proxy that counts and breaks requests. 20 layers of 1 MiB and a configuration
 * for the counts, 5 layers for the faults, one layer of `--large` MiB for CPU seconds and peak memory (median of
 * `--runs`). Peers that are not installed are left out. Prints JSON.
 *
 * Needs docker-registry and GNU time; the program built (`npm run build`). Node 22.18 or newer runs it as it is:
 * `node bench/registry.ts [--only layerwright,crane] [--part requests,faults,large] [--large 1024] [--runs 3]`.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, connect, type AddressInfo } from 'node:net'
import { cpus, homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { startProxy, type Fault } from './registry/proxy.ts'

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

type Operation = 'push' | 'pull' | 'copy'

/** The faults of the survey that a proxy can make, and whether the operation should still succeed. */
const FAULTS: readonly (readonly [Operation, string, boolean, Fault])[] = [
  ['pull', 'blob cut once', true, { kind: 'blob', times: 1, do: { cutAfter: 300_000 } }],
  ['pull', 'blob cut 3 times', true, { kind: 'blob', times: 3, do: { cutAfter: 300_000 } }],
  ['pull', 'blob ends early, cleanly', true, { kind: 'blob', times: 1, do: { endAfter: 300_000 } }],
  ['pull', 'blob stalls once', true, { kind: 'blob', times: 1, do: { stallAfter: 300_000 } }],
  ['pull', 'blob corrupt once', true, { kind: 'blob', times: 1, do: { corrupt: true } }],
  ['pull', 'blob corrupt always', false, { kind: 'blob', times: 1000, do: { corrupt: true } }],
  [
    'pull',
    'blob without length',
    true,
    { kind: 'blob', times: 1000, do: { headers: { 'content-length': undefined } } },
  ],
  ['pull', 'blob 503 once', true, { kind: 'blob', times: 1, do: { status: 503 } }],
  [
    'pull',
    'blob 429 Retry-After 1, twice',
    true,
    { kind: 'blob', times: 2, do: { status: 429, headers: { 'retry-after': '1' } } },
  ],
  [
    'pull',
    'manifest 429 Retry-After 1, twice',
    true,
    { kind: 'manifest', times: 2, do: { status: 429, headers: { 'retry-after': '1' } } },
  ],
  ['pull', 'manifest 500 once', true, { kind: 'manifest', times: 1, do: { status: 500 } }],
  ['pull', 'HEAD manifest 405', true, { kind: 'head-manifest', times: 1000, do: { status: 405 } }],
  [
    'pull',
    'manifest without Docker-Content-Digest',
    true,
    { kind: 'manifest', times: 1000, do: { headers: { 'docker-content-digest': undefined } } },
  ],
  ['pull', 'manifest corrupt', false, { kind: 'manifest', times: 1000, do: { corrupt: true } }],
  ['push', 'upload cut once', true, { kind: 'data', times: 1, minBytes: 500_000, do: { cutAfter: 300_000 } }],
  ['push', 'upload stalls once', true, { kind: 'data', times: 1, minBytes: 500_000, do: { stallAfter: 300_000 } }],
  [
    'push',
    'upload acknowledgement lost',
    true,
    { kind: 'data', times: 1, minBytes: 500_000, do: { loseAcknowledgement: true } },
  ],
  ['push', 'upload data 503 once', true, { kind: 'data', times: 1, do: { status: 503 } }],
  ['push', 'upload start 500 once', true, { kind: 'start', times: 1, do: { status: 500 } }],
  [
    'push',
    'upload start 429 Retry-After 1, twice',
    true,
    { kind: 'start', times: 2, do: { status: 429, headers: { 'retry-after': '1' } } },
  ],
  ['push', 'HEAD blob 403', true, { kind: 'head-blob', times: 1000, do: { status: 403 } }],
  ['push', 'HEAD blob 500 once', true, { kind: 'head-blob', times: 1, do: { status: 500 } }],
  ['push', 'manifest PUT 500 once', true, { kind: 'put-manifest', times: 1, do: { status: 500 } }],
  [
    'push',
    'manifest PUT acknowledgement lost',
    true,
    { kind: 'put-manifest', times: 1, do: { loseAcknowledgement: true } },
  ],
  [
    'push',
    'manifest PUT without Docker-Content-Digest',
    true,
    { kind: 'put-manifest', times: 1, do: { headers: { 'docker-content-digest': undefined } } },
  ],
  ['copy', 'mount 403', true, { kind: 'mount', times: 1000, do: { status: 403 } }],
  ['copy', 'mount 405', true, { kind: 'mount', times: 1000, do: { status: 405 } }],
  ['copy', 'mount 404', true, { kind: 'mount', times: 1000, do: { status: 404 } }],
]

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
      'copy to another repository': await count(client.copy(at('app'), at('other'))),
      pull: await count(client.pull(at('app'), path.join(folder, `pulled-${name}`))),
    }
  }
  return table
}

async function tryFaults(clients: readonly string[]): Promise<Record<string, unknown>> {
  const table: Record<string, Record<string, string>> = {}
  const passed: Record<string, string> = {}
  const layout = await makeLayout('faulty', 5, 1 << 20)
  for (const name of clients) {
    const client = CLIENTS[name] as Client
    let count = 0
    for (const [index, [operation, what, wanted, fault]] of FAULTS.entries()) {
      const repository = `${proxy.host}/${name}/f${index}`
      proxy.reset()
      if (operation !== 'push')
        await attempt(CLIENTS['layerwright'] as Client, client.push(layout, `${repository}:v1`), client.program)
      const args = {
        push: () => client.push(layout, `${repository}:v1`),
        pull: () => client.pull(`${repository}:v1`, path.join(folder, `fault-${name}-${index}`)),
        copy: () => client.copy(`${repository}:v1`, `${repository}-copy:v1`),
      }[operation]()
      proxy.reset([fault])
      const startMs = Date.now()
      const { ok } = await attempt(client, args)
      const seconds = (Date.now() - startMs) / 1000
      const isRight = ok === wanted && seconds < 10
      if (isRight) count++
      const row = (table[`${operation}: ${what}`] ??= {})
      row[name] =
        `${isRight ? '' : 'WRONG '}${ok ? 'ok' : 'refused'} ${seconds.toFixed(1)} s, ${proxy.count()} requests`
    }
    passed[name] = `${count} of ${FAULTS.length}`
  }
  return { passed, table }
}

async function moveLarge(clients: readonly string[]): Promise<Record<string, unknown>> {
  const layout = await makeLayout('large', 1, Number(options.large) << 20)
  const table: Record<string, Record<string, string>> = {}
  for (const name of clients) {
    const client = CLIENTS[name] as Client
    const measured: Record<'push' | 'pull', Usage[]> = { push: [], pull: [] }
    for (let round = 0; round < Number(options.runs); round++) {
      const reference = `localhost:${registry.port}/${name}/large${round}:v1`
      const target = path.join(folder, `large-${name}`)
      measured.push.push(await measure(client, client.push(layout, reference)))
      measured.pull.push(await measure(client, client.pull(reference, target)))
      await rm(target, { recursive: true, force: true })
    }
    const tell = (runs: readonly Usage[]): string =>
      `${median(runs.map(({ wall }) => wall))} s, ${median(runs.map(({ cpu }) => cpu))} CPU s, ${median(runs.map(({ mib }) => mib))} MiB`
    table[name] = { push: tell(measured.push), pull: tell(measured.pull) }
  }
  return table
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
  process.env['PATH'] = `${process.env['PATH']}${path.delimiter}${path.join(homedir(), 'go', 'bin')}`
  for (const name of names) {
    const program = CLIENTS[name]?.program
    if (program === undefined) throw new RangeError(`No such client: ${name}`)
    const isThere =
      name === 'layerwright' || (await attempt(CLIENTS[name] as Client, ['-c', `command -v ${program}`], 'sh')).ok
    if (isThere) found.push(name)
    else process.stderr.write(`${name} is not installed and left out\n`)
  }
  if (found.includes('regctl')) await run('regctl', ['registry', 'set', '--tls=disabled', proxy.host])
  if (found.includes('regctl')) await run('regctl', ['registry', 'set', '--tls=disabled', `localhost:${registry.port}`])
  return found
}

/** A layout with layers of random bytes: nothing to compress, nothing to guess. */
async function makeLayout(name: string, layers: number, sizeBytes: number): Promise<string> {
  const layout = path.join(folder, name)
  const blobs = path.join(layout, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (bytes: Buffer): Promise<{ digest: string; size: number }> => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    await writeFile(path.join(blobs, hex), bytes)
    return { digest: `sha256:${hex}`, size: bytes.length }
  }
  const json = (value: object): Promise<{ digest: string; size: number }> => put(Buffer.from(JSON.stringify(value)))
  const mediaType = 'application/vnd.oci.image.layer.v1.tar'
  const descriptors: { mediaType: string; digest: string; size: number }[] = []
  for (let i = 0; i < layers; i++) descriptors.push({ mediaType, ...(await put(randomBytes(sizeBytes))) })
  const rootfs = { type: 'layers', diff_ids: descriptors.map(({ digest }) => digest) }
  const config = await json({ architecture: 'amd64', os: 'linux', config: {}, rootfs })
  const manifest = await json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: descriptors,
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

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Number((sorted[sorted.length >> 1] ?? 0).toFixed(2))
}
