import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TARGETS } from '../../src/check/contracts.ts'
import { runCommand, type Finished } from '../support/command.ts'
import { ONE_COG } from '../support/one-cog.ts'

// `layerwright check` on real images: one that keeps every contract, and one with everything wrong that a project can.

const root = path.join(import.meta.dirname, '..', '..')
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'check-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const command = [process.execPath, path.join(root, 'bin/layerwright.mjs')] as const
const env = { LAYERWRIGHT_CACHE: path.join(root, '.cache/interop-store') }
const layerwright = (args: readonly string[]): Promise<Finished> =>
  runCommand(command[0], [command[1], ...args], { cwd: root, env })
const checkCog = (...args: readonly string[]): Promise<Finished> =>
  runCommand(ONE_COG[0], [ONE_COG[1], ...command, 'check', ...args], { cwd: root, env })

test('examples/hello keeps the contract of every platform', async () => {
  const image = `oci:${path.join(folder, 'hello')}:v1`
  expect(await layerwright(['build', 'examples/hello', '--format', 'docker', '-o', image])).toMatchObject({ status: 0 })
  for (const target of TARGETS) {
    const { status, stdout, stderr } = await layerwright(['check', '--target', target, image])
    expect(stdout, stderr).not.toMatch(/^broken/m)
    expect(stdout).toMatch(/^ok {6}the server listens on every address/m)
    expect(status).toBe(0)
  }
})

test('a broken image is named by the rules that it breaks', async () => {
  const project = path.join(folder, 'broken')
  await cp(path.join(root, 'examples/hello'), project, { recursive: true })
  const yaml = await readFile(path.join(project, 'cog.yaml'), 'utf8')
  await writeFile(
    path.join(project, 'cog.yaml'),
    `${yaml.replace('build:', 'build:\n  user: "1000"')}environment:\n  - LAYERWRIGHT_HOST=127.0.0.1\n  - LAYERWRIGHT_GRACE_SECONDS=0\n`,
  )
  await writeFile(
    path.join(project, 'run.py'),
    'import time\n\nfrom cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self) -> str:\n        time.sleep(2)\n        return ""\n',
  )
  const image = `oci:${path.join(folder, 'broken-image')}:v1`
  const built = await layerwright(['build', project, '-o', image])
  expect(built.status, built.stderr).toBe(0)
  const { status, stdout } = await layerwright(['check', '--target', 'sagemaker', image])
  expect(status).toBe(1)
  const broken = stdout.split('\n').filter((line) => line.startsWith('broken'))
  expect(broken).toEqual([
    expect.stringMatching(/^broken {2}the server listens on every address.*: it does not/),
    expect.stringMatching(/^broken {2}the manifest is Docker schema 2: it is application\/vnd\.oci/),
    expect.stringMatching(/^broken {2}the image runs as root: the user is 1000/),
    expect.stringMatching(/^broken {2}a prediction that runs at SIGTERM is answered: /),
    expect.stringMatching(/^broken {2}SIGTERM ends the server within 30 s: its exit status was 1/),
  ])
})

test("Cog's own server has not the routes of a platform, and is said so", async () => {
  const project = path.join(folder, 'coglet')
  await cp(path.join(root, 'examples/hello'), project, { recursive: true })
  const yaml = await readFile(path.join(project, 'cog.yaml'), 'utf8')
  await writeFile(path.join(project, 'cog.yaml'), `runtime: coglet\n${yaml}`)
  const image = `oci:${path.join(folder, 'coglet-image')}:v1`
  const built = await layerwright(['build', project, '-o', image])
  expect(built.status, built.stderr).toBe(0)
  expect(await checkCog('--target', 'replicate', image)).toMatchObject({ status: 0 })
  const { status, stdout } = await checkCog('--target', 'kserve', image)
  expect(status).toBe(1)
  expect(stdout).toMatch(/^broken {2}GET \/v2\/health\/live .*: it answered 404/m)
})
