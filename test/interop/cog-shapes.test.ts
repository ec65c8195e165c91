import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mustRun, type Finished } from '../support/command.ts'
import { ONE_COG } from '../support/one-cog.ts'

/*
 * The shapes of Cog's own example projects that need no large packages: they build unchanged on the composed base and
 * answer. The others (resnet, notebook, everything with a GPU) are planned whole in test/plan/projects.test.ts.
 */

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.cache', 'interop-store')
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cog-shapes-'))
  await mkdir(cache, { recursive: true })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const command = [process.execPath, join(root, 'bin', 'layerwright.mjs')] as const
const env = { LAYERWRIGHT_CACHE: cache }
const layerwright = (args: readonly string[], cwd: string): Promise<Finished> =>
  mustRun(command[0], [command[1], ...args], { cwd, env })

/** Copies a fixture, with the Python that the composed base has. */
async function project(name: string): Promise<string> {
  const path = join(folder, name)
  await cp(join(root, 'fixtures/projects', name), path, { recursive: true })
  const file = join(path, 'cog.yaml')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/python_version: "?3\.\d+"?/, 'python_version: "3.11"'))
  return path
}

test('hello, with inputs as Cog takes them from a file', async () => {
  const path = await project('hello')
  await writeFile(join(path, 'inputs.json'), JSON.stringify({ text: 'you' }))
  expect((await layerwright(['run', '--json', '@inputs.json'], path)).stdout).toBe('hello you\n')
})

test('train', async () => {
  const path = await project('train')
  await layerwright(['train', '-i', 'prefix=ab', '-i', 'epochs=2', '-o', 'out'], path)
  const files = await readdir(path, { recursive: true })
  const out = files.find((name) => name.startsWith('out') && name.endsWith('.txt')) ?? 'out'
  expect(await readFile(join(path, out), 'utf8')).toBe('abab')
})

test.each([
  ['concurrency', 'text=one two', 'one two'],
  ['streaming', 'text=ab', 'abab'],
])('%s', async (name, input, expected) => {
  const path = await project(name)
  const { stdout } = await layerwright(['predict', '-i', input, '--json'], path)
  const { output } = JSON.parse(stdout) as { readonly output: string | readonly string[] }
  expect([output].flat().join('').trim()).toBe(expected)
})

test('weights, from the project to another place', async () => {
  const path = await project('weights')
  expect((await layerwright(['predict', '-i', 'n=0'], path)).stdout).toBe(`${'n'.codePointAt(0)}\n`)
  const { stdout } = await layerwright(['exec', '--', 'ls', '/models/tiny', '/models/tiny/sub', '/src'], path)
  expect(stdout).toMatch(/config\.json[^]*model\.safetensors[^]*tokenizer\.json/)
  expect(stdout).not.toContain('model.txt')
  const [set] = JSON.parse((await layerwright(['weights', 'status', '--json'], path)).stdout) as { state: string }[]
  expect(set?.state).toBe('ready')
})

test("coglet: Cog's own server answers", async () => {
  const path = await project('coglet')
  await writeFile(join(path, 'run.py'), await readFile(join(root, 'examples/hello/run.py'), 'utf8'))
  await writeFile(
    join(path, 'cog.yaml'),
    (await readFile(join(path, 'cog.yaml'), 'utf8')).replace(/^concurrency:\n.*\n/m, ''),
  )
  const { stdout } = await mustRun(ONE_COG[0], [ONE_COG[1], ...command, 'predict', '-i', 'text=you'], {
    cwd: path,
    env,
  })
  expect(stdout).toBe('hello you\n')
})
