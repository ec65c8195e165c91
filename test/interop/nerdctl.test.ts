import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { busyboxImage, writeLayout } from '../support/busybox-image.ts'
import { makeCallerWorld, type CallerWorld } from '../support/callers.ts'
import { mustRun, type Finished } from '../support/command.ts'
import { startContainerd, type Containerd } from '../support/containerd.ts'
import { findTool, goTool, needTool } from '../support/tool.ts'

/* A real containerd of the test's own, asked by nerdctl. */

let all: string
let home: string
let daemon: Containerd | undefined
let world: CallerWorld
let env: Readonly<Record<string, string>>
let nerdctl: string | undefined
let containerd: string | undefined

beforeAll(async () => {
  all = mkdtempSync('/tmp/lwn-')
  chmodSync(all, 0o755)
  const busybox = await findTool('busybox')
  containerd = await findTool('containerd')
  const module = 'github.com/containerd/nerdctl'
  nerdctl = (await findTool('nerdctl')) ?? (await goTool(`${module}/cmd/nerdctl@v1.7.7`, module))
  if (busybox === undefined || containerd === undefined || nerdctl === undefined || process.getuid?.() !== 0) return
  await writeLayout(join(all, 'layout'), busyboxImage(busybox))
  mkdirSync(join(all, 'bound'))
  mkdirSync(join(all, 'bin'))
  writeFileSync(join(all, 'bound/file'), 'bound')
  symlinkSync(nerdctl, join(all, 'bin/nerdctl'))
  world = await makeCallerWorld(all)
  home = world.homeOf(0)
  daemon = await startContainerd(join(all, 'd'))
  env = { ...daemon.env, PATH: `${join(all, 'bin')}:${process.env['PATH'] ?? ''}` }
}, 900_000)
afterAll(async () => {
  await daemon?.close()
  removeTree(all)
})
beforeEach((context) => {
  needTool(nerdctl, 'nerdctl', context)
  needTool(containerd, 'containerd', context)
  if (daemon === undefined) context.skip('needs root and busybox')
})

const exec = (script: string, ...options: string[]): Promise<Finished> => {
  const image = ['--image', `oci:${join(all, 'layout')}:latest`]
  return world.call(0, home, ['exec', '--runtime', 'nerdctl', ...image, ...options, '--', '/bin/sh', '-c', script], env)
}

test('runs the container as it was asked to, and keeps the image until it is pruned', async () => {
  const script = [
    'echo "user $(id -u):$(id -g)"',
    'echo "folder $PWD $(cat hello)"',
    'echo "env $FROM_IMAGE $GIVEN"',
    'echo "bind $(cat /bound/file)"',
    'touch /bound/file 2>/dev/null && echo "bind is writable"',
    'grep -q "^NoNewPrivs:.1" /proc/self/status && echo "no new privileges"',
    'exit 7',
  ].join('\n')
  for (const _ of ['handed over', 'there already']) {
    const result = await exec(script, '--env', 'GIVEN=x y', '--volume', `${join(all, 'bound')}:/bound:ro`)
    const expected = ['user 0:0', 'folder /src from the image', 'env 1 x y', 'bind bound', 'no new privileges', '']
    expect(result.stdout.split('\n'), result.stderr).toEqual(expected)
    expect(result.status).toBe(7)
  }
  const nerd = async (...args: string[]): Promise<string> => (await mustRun(nerdctl ?? '', args, { env })).stdout
  expect(await nerd('ps', '--all', '--quiet')).toBe('')
  const pruned = await world.call(0, home, ['cache', 'prune', '--json'], env)
  const { handed } = JSON.parse(pruned.stdout) as { handed: readonly unknown[] }
  expect(handed, pruned.stderr).toMatchObject([{ engine: 'nerdctl' }])
  expect(await nerd('images', '--quiet')).toBe('')
})

test("runs the image's user without any network", async () => {
  const { stdout, stderr } = await exec('id -u; ls /sys/class/net', '--user', 'bob', '--network', 'none')
  expect(stdout, stderr).toBe('1000\nlo\n')
})
