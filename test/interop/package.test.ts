import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mustRun, runCommand } from '../support/command.ts'

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.cache', 'interop-store')
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'package-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('the packed program, installed in an empty folder, builds examples/hello', async () => {
  await mustRun('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root })
  const place = join(folder, 'place')
  await mkdir(place)
  await writeFile(join(place, 'package.json'), '{ "private": true }')
  await cp(join(root, 'examples', 'hello'), join(place, 'hello'), { recursive: true })
  const { stdout: listing } = await mustRun('sh', ['-c', `ls ${folder}/*.tgz`])
  await mustRun('npm', ['install', '--no-audit', '--no-fund', listing.trim()], { cwd: place })
  const env = { LAYERWRIGHT_CACHE: cache }
  const { stdout } = await mustRun('npx', ['layerwright', 'build', 'hello', '-q', '-o', 'oci:image'], {
    cwd: place,
    env,
  })
  expect(stdout).toMatch(/^sha256:[a-f0-9]{64}\n$/)
})

test('a disk that is full is an error with a hint, and leaves no image', async () => {
  const disk = await mkdtemp(join(folder, 'disk-'))
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk])
  try {
    const layout = join(folder, 'full')
    const args = [join(root, 'bin', 'layerwright.mjs'), 'build', 'examples/hello', '-o', `oci:${layout}`]
    const { status, stderr } = await runCommand(process.execPath, args, {
      cwd: root,
      env: { LAYERWRIGHT_CACHE: join(disk, 'store') },
    })
    expect(stderr).toContain('DISK_FULL')
    expect(stderr).toContain('hint:')
    expect(status).toBe(1)
    expect((await runCommand('ls', [join(layout, 'index.json')])).status).not.toBe(0)
  } finally {
    await mustRun('umount', [disk])
  }
})
