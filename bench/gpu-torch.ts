/**
 * Does examples/gpu-torch go from cog.yaml to a prediction, with the real CUDA wheels, and in how much memory?
 *
 * Builds it (torch 2.8.0 with its CUDA wheels, 3.9 GB from the package index) on a stand-in of the nvidia/cuda base from
 * a registry on loopback, pushes it there, then builds and pushes again, and asks the image for a prediction. Prints
 * JSON: wall and CPU seconds and peak memory of each step, and what the model answered.
 *
 * Needs GNU time and about 20 GB of disk; a built program (`npm run build`): `node bench/gpu-torch.ts [--node PATH]`.
 * `--node` is the Node that runs the program (default: the one on PATH).
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { Registries } from '../registry/registries.ts'
import { serveRegistry } from '../registry/server/serve.ts'
import { pushCudaStandIn } from '../test/support/cuda-base.ts'
import { makeInterpreterArchive } from '../test/support/interpreter-archive.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const program = path.join(root, 'bin/layerwright.mjs')

/** What one step of the way cost, as the operating system counts it. */
interface Step {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  readonly peakMb: number
  readonly stdout: string
}

const { values } = parseArgs({ options: { node: { type: 'string', default: 'node' } } })
const folder = await mkdtemp(path.join(tmpdir(), 'bench-gpu-torch-'))
const registry = await serveRegistry({ storage: { kind: 'directory', path: path.join(folder, 'registry') } })
try {
  const host = new URL(registry.url).host
  const interpreter = await makeInterpreterArchive(folder)
  const env = {
    ...process.env,
    LAYERWRIGHT_CACHE: path.join(folder, 'store'),
    LAYERWRIGHT_CUDA_REPOSITORY: `${host}/nvidia/cuda`,
    LAYERWRIGHT_INTERPRETERS: interpreter.list,
  }
  await run(values.node, [program, 'build', 'examples/hello', '-q', '-o', `oci:${folder}/hello`], { cwd: root, env })
  const registries = new Registries({ env: {}, insecure: true })
  for (const ubuntu of ['22.04', '24.04']) {
    const to = `${host}/nvidia/cuda:12.8.1-base-ubuntu${ubuntu}`
    await pushCudaStandIn({ from: `oci:${folder}/hello`, to, cuda: '12.8.1', registries })
  }
  const image = `${host}/models/gpu-torch:v1`
  const push = ['push', image, '--project', 'examples/gpu-torch', '--insecure', '-q']
  const first = await measure(push, env)
  const again = await measure(push, env)
  const { stdout } = await run(values.node, [program, 'inspect', `docker://${image}`, '--insecure', '--json'], {
    cwd: root,
    env,
    maxBuffer: 64 << 20,
  })
  const { manifest } = JSON.parse(stdout) as {
    readonly manifest: { readonly layers: readonly { readonly size: number }[] }
  }
  const predicted = await measure(
    ['predict', `docker://${image}`, '--insecure', '--gpus', 'none', '-q', '-i', 'size=64'],
    env,
  )
  const result = {
    cpus: cpus().length,
    layers: manifest.layers.length,
    compressedBytes: manifest.layers.reduce((sum, { size }) => sum + size, 0),
    buildAndPush: first,
    again,
    predicted,
  }
  console.log(JSON.stringify(result, undefined, 2))
} finally {
  await registry.close()
  await rm(folder, { recursive: true, force: true })
}

async function measure(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Step> {
  const report = path.join(folder, 'time')
  const timed = ['-o', report, '-f', '%e %U %S %M', values.node, program, ...args]
  const { stdout } = await run('/usr/bin/time', timed, { cwd: root, env, maxBuffer: 64 << 20 })
  const [wall = 0, user = 0, system = 0, peakKb = 0] = (await readFile(report, 'utf8')).trim().split(' ').map(Number)
  return { wallSeconds: wall, cpuSeconds: user + system, peakMb: Math.round(peakKb / 1024), stdout: stdout.trim() }
}
