/**
 * How long until a process of a cached image runs, beside `runc run` of a bundle that umoci unpacked?
 *
 * Every start is a fresh process of the command, Node's own start included. `startMs` is the time from there to the
 * container's first output, which tells the time itself; `wholeMs` the time to the end. Medians of `--runs` (9). Goals: 400 ms
 * to the start, and not more than 250 ms above runc in all. Prints JSON.
 *
 * Needs runc, umoci and root, and a built program (`npm run build`): `node bench/run.ts [--image oci:DIR:TAG] [--node node]`.
 * Node 22.18 or newer runs this file as it is; `--node` names the Node that runs the program. Without an image,
 * `examples/hello` is built first.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const program = path.join(root, 'bin/layerwright.mjs')
const SCRIPT = 'echo $(date +%s%N)'

interface Timing {
  readonly startMs: number
  readonly wholeMs: number
}

const { values } = parseArgs({
  options: {
    image: { type: 'string' },
    runs: { type: 'string', default: '9' },
    node: { type: 'string', default: 'node' },
  },
})
const folder = await mkdtemp(path.join(tmpdir(), 'bench-run-'))
try {
  const env = { ...process.env, LAYERWRIGHT_CACHE: path.join(folder, 'store') }
  const image = values.image ?? (await buildHello())
  const [, layout = '', tag = ''] = /^oci:(.*):([^:]*)$/.exec(image) ?? []
  const bundle = await unpackBundle(layout, tag)
  const results: Record<string, Timing> = {}
  for (const runtime of ['crun', 'runc', 'bubblewrap', 'chroot', 'podman']) {
    const args = [program, 'exec', '--quiet', '--runtime', runtime, '--image', image, '--', '/bin/sh', '-c', SCRIPT]
    results[runtime] = await medianOf(values.node, args, env)
  }
  results['chosen by itself'] = await medianOf(
    values.node,
    [program, 'exec', '--quiet', '--image', image, '--', '/bin/sh', '-c', SCRIPT],
    env,
  )
  const bare = await medianOf('runc', ['run', '--bundle', bundle, `bench-${process.pid}`], env)
  const node = await medianOf(values.node, ['-e', 'console.log(Date.now() + "000000")'], env)
  const extraMs = Math.round((results['runc']?.wholeMs ?? Number.NaN) - bare.wholeMs)
  console.log(
    JSON.stringify(
      {
        image,
        runs: Number(values.runs),
        cpus: cpus().length,
        node: (await run(values.node, ['--version'])).stdout.trim(),
        load: loadavg().map(Math.round),
        results,
        bare,
        nodeAlone: node,
        extraMs,
      },
      undefined,
      2,
    ),
  )
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function buildHello(): Promise<string> {
  const layout = path.join(folder, 'hello')
  await run(values.node, [program, 'build', path.join(root, 'examples/hello'), '-o', `oci:${layout}:bench`])
  return `oci:${layout}:bench`
}

async function unpackBundle(layout: string, tag: string): Promise<string> {
  const bundle = path.join(folder, 'bundle')
  await run('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle])
  const file = path.join(bundle, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8')) as {
    process: { args: string[]; terminal: boolean; rlimits?: unknown }
    linux: { namespaces: { type: string }[] }
  }
  config.process.args = ['/bin/sh', '-c', SCRIPT]
  config.process.terminal = false
  delete config.process.rlimits
  config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== 'network')
  await writeFile(file, JSON.stringify(config))
  return bundle
}

/** The first start unpacks and probes; it does not count. */
async function medianOf(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Timing> {
  await run(command, [...args], { env })
  const timings: Timing[] = []
  for (let turn = 0; turn < Number(values.runs); turn++) {
    const before = Date.now()
    const { stdout } = await run(command, [...args], { env })
    timings.push({ startMs: Number(stdout.trim()) / 1e6 - before, wholeMs: Date.now() - before })
  }
  const middle = (key: keyof Timing): number =>
    Math.round(
      timings.map((timing) => timing[key]).toSorted((a, b) => a - b)[Math.floor(timings.length / 2)] ?? Number.NaN,
    )
  return { startMs: middle('startMs'), wholeMs: middle('wholeMs') }
}
