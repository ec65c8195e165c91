import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Registries } from '../../registry/registries.ts'
import { serveRegistry, type ServedRegistry } from '../../registry/server/serve.ts'
import { pushCudaStandIn } from '../support/cuda-base.ts'
import { mustRun, type Finished } from '../support/command.ts'
import { makeInterpreterArchive, type InterpreterStandIn } from '../support/interpreter-archive.ts'

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.cache', 'interop-store')
let folder: string
let registry: ServedRegistry
let interpreter: InterpreterStandIn
let host: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpu-'))
  await mkdir(cache, { recursive: true })
  registry = await serveRegistry({ storage: { kind: 'directory', path: join(folder, 'registry') } })
  host = new URL(registry.url).host
  interpreter = await makeInterpreterArchive(folder)
  await layerwright(['build', 'examples/hello', '-q', '-o', `oci:${folder}/hello`])
  const registries = new Registries({ env: {}, insecure: true })
  for (const cuda of ['12.9.1', '12.8.1', '12.6.3']) {
    for (const ubuntu of ['22.04', '24.04']) {
      const to = `${host}/nvidia/cuda:${cuda}-base-ubuntu${ubuntu}`
      await pushCudaStandIn({ from: `oci:${folder}/hello`, to, cuda, registries })
    }
  }
})
afterAll(async () => {
  await registry.close()
  await rm(folder, { recursive: true, force: true })
})

function layerwright(args: readonly string[]): Promise<Finished> {
  return mustRun(process.execPath, [join(root, 'bin', 'layerwright.mjs'), ...args], {
    cwd: root,
    env: {
      LAYERWRIGHT_CACHE: cache,
      LAYERWRIGHT_CUDA_REPOSITORY: `${host ?? ''}/nvidia/cuda`,
      LAYERWRIGHT_INTERPRETERS: interpreter?.list ?? '',
    },
  })
}

test('gpu: true stands on the smallest CUDA image from a registry, with a relocatable Python, and predicts', async () => {
  const project = join(folder, 'project')
  await mkdir(project)
  const minor = interpreter.version.split('.').slice(0, 2).join('.')
  await writeFile(
    join(project, 'cog.yaml'),
    `build:\n  gpu: true\n  python_version: "${minor}"\n  python_packages: [numpy]\nrun: "run.py:Runner"\n`,
  )
  await writeFile(
    join(project, 'run.py'),
    'import numpy\nfrom cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self, size: int = 3) -> int:\n        return int(numpy.arange(size).sum())\n',
  )
  const image = `${host}/models/sum:v1`
  await layerwright(['push', image, '--project', project, '--insecure'])
  const { stdout } = await layerwright(['inspect', `docker://${image}`, '--insecure', '--json'])
  const { config, manifest } = JSON.parse(stdout) as {
    readonly config: { readonly config: { readonly Env: readonly string[]; readonly Entrypoint: readonly string[] } }
    readonly manifest: { readonly annotations: Readonly<Record<string, string>> }
  }
  expect(manifest.annotations['org.opencontainers.image.base.name']).toMatch(/nvidia\/cuda:12\.\d+\.\d+-base-ubuntu/)
  expect(config.config.Entrypoint[0]).toBe(`/opt/python/bin/python${minor}`)
  expect(config.config.Env).toContain('NVIDIA_VISIBLE_DEVICES=all')
  expect(config.config.Env.find((line) => line.startsWith('NVIDIA_REQUIRE_CUDA='))).toMatch(
    /^NVIDIA_REQUIRE_CUDA=cuda>=12\.\d+ brand=/,
  )
  const predicted = await layerwright(['predict', `docker://${image}`, '--insecure', '--gpus', 'none', '-i', 'size=5'])
  expect(predicted.stdout.trim()).toBe('10')
})

test('examples/gpu-torch plans the CUDA wheels that torch names on a base without a second copy of CUDA', async () => {
  const { stdout } = await layerwright(['plan', 'examples/gpu-torch', '--json'])
  const [plan] = JSON.parse(stdout) as readonly {
    readonly base: { readonly location: string }
    readonly layers: readonly { readonly role: string; readonly title: string }[]
    readonly choices: readonly { readonly key: string; readonly value: string; readonly reason: string }[]
  }[]
  expect(plan?.base.location).toContain('-base-ubuntu')
  const titles = plan?.layers.map(({ title }) => title) ?? []
  expect(titles).toContain('torch 2.8.0')
  expect(titles).toContain('nvidia-cudnn-cu12 9.10.2.21')
  expect(plan?.choices.map(({ key }) => key)).toEqual(expect.arrayContaining(['base', 'python', 'cuda', 'flavour']))
})
