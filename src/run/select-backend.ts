import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { BuildError } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'
import { nearest } from '../core/suggest.ts'
import { isYoung } from '../core/freshness.ts'
import { BACKENDS } from './backends/index.ts'
import { BACKEND_NAMES, type Backend, type BackendName } from './container.ts'
import type { Host } from './host.ts'
import type { RunnableImage } from './image.ts'
import { unpackImage, type RootfsCache } from './rootfs.ts'
import { which } from './which.ts'

/** What became of one backend. */
export interface Detection {
  readonly name: BackendName
  /** Where its program lies; undefined when it is not installed. */
  readonly program: string | undefined
  readonly works: boolean
  /** Why not, in the program's own words. */
  readonly reason?: string
  /** Why it comes after the others although it works. */
  readonly drawback?: string
}

const PROBE_TIMEOUT_MS = 30_000
/** Part of remembered answers: another probe asks again. */
const PROBE_VERSION = 2
/** An engine copies an image that it does not have; beyond this many compressed bytes that takes longer than it is worth. */
const COPIED_BYTES = 256 * 1024 * 1024
/** How long an answer is believed: what failed may be repaired soon, what works seldom stops. */
const GOOD_FOR_MS = { works: 24 * 3600 * 1000, fails: 10 * 60 * 1000 }

/** What is to be run, and who may run it. */
export interface SelectOptions {
  readonly names?: readonly BackendName[] | undefined
  /** A large one goes to an engine only when that has it already. */
  readonly image?: RunnableImage | undefined
}

/**
 * The first backend that really runs a container here, in the order of {@link BACKEND_NAMES}; or the one asked for,
 * unasked whether it works.
 *
 * Engines that would first copy a large image, or whose storage copies it again and again, come last. Each is tried with an image of a kilobyte; the answers are kept for a while, for the same program and the same host.
 *
 * @throws BuildError USAGE for an unknown name, HOST_UNSUPPORTED when nothing can run containers
 */
export async function selectBackend(
  wanted: string | undefined,
  host: Host,
  cache: RootfsCache,
  { names = BACKEND_NAMES, image }: SelectOptions = {},
): Promise<Backend> {
  if (wanted !== undefined && wanted !== '') {
    const name = BACKEND_NAMES.find((known) => known === wanted)
    if (name === undefined) {
      const near = nearest(wanted, BACKEND_NAMES)
      throw new BuildError('USAGE', `Unknown runtime: \`${wanted}\``, {
        hint: `${near === undefined ? '' : `Did you mean \`${near}\`? `}One of ${BACKEND_NAMES.join(', ')}.`,
      })
    }
    if (which(BACKENDS[name].program, host.env) === undefined) {
      throw new BuildError('HOST_UNSUPPORTED', `The runtime is not installed: \`${BACKENDS[name].program}\``)
    }
    return BACKENDS[name]
  }
  const tried: Detection[] = []
  let last: Backend | undefined
  for (const name of names) {
    const detection = await detectBackend(name, host, cache)
    const backend = BACKENDS[name]
    if (!detection.works) tried.push(detection)
    else if (detection.drawback !== undefined || (await wouldCopy(backend, image, host))) last ??= backend
    else return backend
  }
  if (last !== undefined) return last
  const lines = tried.map(
    ({ name, program, reason }) => `${name}: ${program === undefined ? 'not installed' : (reason ?? 'failed')}`,
  )
  throw new BuildError('HOST_UNSUPPORTED', `Nothing here can run containers. Looked for ${lines.join('; ')}`, {
    hint: 'Install podman, crun, runc or bubblewrap; or allow user namespaces, which `unshare` needs without root.',
    data: { tried, namespaces: host.namespaces, reasons: host.reasons },
  })
}

async function wouldCopy(backend: Backend, image: RunnableImage | undefined, host: Host): Promise<boolean> {
  const sizeBytes = image?.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0) ?? 0
  if (image === undefined || sizeBytes <= COPIED_BYTES || backend.has === undefined) return false
  return !(await backend.has(image, host))
}

/** Tells whether a backend runs containers here; see {@link selectBackend}. */
async function detectBackend(name: BackendName, host: Host, cache: RootfsCache): Promise<Detection> {
  const backend = BACKENDS[name]
  const program = which(backend.program, host.env)
  if (program === undefined) return { name, program, works: false }
  const isEngine = name === 'podman' || name === 'docker' || name === 'nerdctl'
  if (!isEngine && host.namespaces === 'none') {
    return { name, program, works: false, reason: host.reasons.at(-1) ?? 'namespaces are not allowed' }
  }
  const file = join(cache.folder, `backend-${name}.json`)
  const about = [statSync(program).mtimeMs, host.uid, host.namespaces, host.env['DOCKER_HOST'] ?? '', PROBE_VERSION]
  const key = [program, ...about].join(' ')
  const known = readAnswer(file)
  if (known?.key === key && isYoung(known.time, GOOD_FOR_MS[known.detection.works ? 'works' : 'fails'], Date.now()))
    return known.detection
  const reason = await tryBackend(backend, host, cache)
  const drawback = reason === undefined ? await backend.drawback?.(host) : undefined
  const detection = {
    name,
    program,
    works: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    ...(drawback === undefined ? {} : { drawback }),
  }
  writeFileSync(file, JSON.stringify({ key, time: Date.now(), detection }))
  return detection
}

function readAnswer(file: string): { key: string; time: number; detection: Detection } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // Missing or damaged: asked again.
    return undefined
  }
}

/** Runs the probe; undefined when it ran, else why not. */
async function tryBackend(backend: Backend, host: Host, cache: RootfsCache): Promise<string | undefined> {
  const { makeProbeImage, PROBE_STATUS } = await import('./probe-image.ts')
  const image = await makeProbeImage()
  // Nothing to try on an unknown architecture: the program being there has to do.
  if (image === undefined) return undefined
  await makeFolder(join(cache.folder, 'tmp'), 0o700)
  try {
    const running = await backend.start(
      {
        name: `layerwright-probe-${randomBytes(6).toString('hex')}`,
        image,
        // One layer is a stack and a tree alike.
        folders: () => unpackImage(image.layers, { ...cache, report: () => {} }),
        request: {},
        additionalGids: [],
        binds: [],
        memory: [],
        devices: [],
        hooks: {},
        network: 'host',
        hostname: 'probe',
        stdin: 'ignore',
        terminal: false,
        workFolder: mkdtempSync(join(cache.folder, 'tmp', `run-${process.pid}-`)),
      },
      { stdin: 'ignore', output: 'pipe' },
      host,
    )
    const timer = setTimeout(() => running.kill('SIGKILL'), PROBE_TIMEOUT_MS)
    const [status, words] = await Promise.all([running.exit, lastLine(running.stderr), lastLine(running.stdout)])
    clearTimeout(timer)
    return status === PROBE_STATUS ? undefined : words || `ended with status ${status}`
  } catch (error) {
    if (error instanceof Error) return error.message
    throw error
  }
}

async function lastLine(stream: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  let text = ''
  for await (const chunk of stream ?? []) text = (text + Buffer.from(chunk).toString()).slice(-4096)
  return text.trim().split('\n').at(-1) ?? ''
}
