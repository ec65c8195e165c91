import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { startContainer } from '../../src/run/run-container.ts'
import type { Image } from '../../src/image/image.ts'
import { busyboxImage, writeLayout } from '../support/busybox-image.ts'
import { makeCallerWorld, type CallerWorld } from '../support/callers.ts'
import { mustRun, runCommand, type Finished } from '../support/command.ts'
import { startDockerDaemon, type DockerDaemon } from '../support/docker-daemon.ts'
import { findTool, needTool } from '../support/tool.ts'

/* A real dockerd of the test's own: the image is handed over and runs, with what the other runtimes are asked for. */

let all: string
let daemon: DockerDaemon | undefined
let world: CallerWorld
let image: Image

beforeAll(async () => {
  all = mkdtempSync('/tmp/lwd-')
  chmodSync(all, 0o755)
  const [busybox, dockerd] = await Promise.all([findTool('busybox'), findTool('dockerd')])
  if (busybox === undefined || dockerd === undefined || process.getuid?.() !== 0) return
  image = busyboxImage(busybox)
  await writeLayout(join(all, 'layout'), image)
  mkdirSync(join(all, 'bound'))
  writeFileSync(join(all, 'bound/file'), 'bound')
  execFileSync('mknod', ['-m', '666', join(all, 'node'), 'c', '1', '5'])
  world = await makeCallerWorld(all)
  daemon = await startDockerDaemon(join(all, 'd'))
})
afterAll(async () => {
  await daemon?.close()
  removeTree(all)
})
beforeEach(async (context) => {
  needTool(await findTool('busybox'), 'busybox', context)
  needTool(await findTool('dockerd'), 'dockerd', context)
  if (daemon === undefined) context.skip('needs root')
})

const call = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> =>
  world.call(0, all, ['exec', '--runtime', 'docker', ...args], { DOCKER_HOST: daemon?.host ?? '', ...env })

const inImage = (script: string): string[] => [
  '--image',
  `oci:${join(all, 'layout')}:latest`,
  '--',
  '/bin/sh',
  '-c',
  script,
]

test('runs the container as it was asked to, and keeps the image for the next time', async () => {
  const script = [
    'echo "user $(id -u):$(id -g)"',
    'echo "folder $PWD $(cat hello)"',
    'echo "env $FROM_IMAGE $GIVEN"',
    'echo "bind $(cat /bound/file)"',
    'touch /bound/file 2>/dev/null && echo "bind is writable"',
    'grep -q "^NoNewPrivs:.1" /proc/self/status && echo "no new privileges"',
    'grep -q "^Seccomp:.2" /proc/self/status && echo "system calls are filtered"',
    'exit 7',
  ].join('\n')
  const args = ['--env', 'GIVEN=x y', '--volume', `${join(all, 'bound')}:/bound:ro`, ...inImage(script)]
  for (const _ of ['handed over', 'there already']) {
    const { status, stdout, stderr } = await call(args)
    expect(stdout.split('\n'), stderr).toEqual([
      'user 0:0',
      'folder /src from the image',
      'env 1 x y',
      'bind bound',
      'no new privileges',
      'system calls are filtered',
      '',
    ])
    expect(status).toBe(7)
  }
  const images = await runCommand('docker', ['--host', daemon?.host ?? '', 'images', '--quiet'])
  expect(images.stdout.trim().split('\n')).toHaveLength(1)
  const left = await runCommand('docker', ['--host', daemon?.host ?? '', 'ps', '--all', '--quiet'])
  expect(left.stdout).toBe('')
})

test("runs the image's user without any network", async () => {
  const { stdout, stderr } = await call(['--user', 'bob', '--network', 'none', ...inImage('id -u; ls /sys/class/net')])
  expect(stdout, stderr).toBe('1000\nlo\n')
})

test('hands devices and variables of a CDI specification over, and refuses hooks by name', async () => {
  const cdi = join(all, 'cdi')
  mkdirSync(cdi)
  const device = { path: '/dev/kfd', hostPath: join(all, 'node') }
  const put = (name: string, edits: object): void =>
    writeFileSync(
      join(cdi, `${name}.json`),
      JSON.stringify({
        cdiVersion: '0.6.0',
        kind: `${name}.com/gpu`,
        devices: [{ name: '0', containerEdits: edits }],
      }),
    )
  put('amd', { env: ['AMD=yes'], deviceNodes: [device] })
  put('hooked', { deviceNodes: [device], hooks: [{ hookName: 'createContainer', path: '/bin/true' }] })
  const env = { LAYERWRIGHT_CDI_DIRS: cdi }
  const found = await call(['--gpus', 'amd.com/gpu=0', ...inImage('echo $AMD; head -c 4 /dev/kfd | wc -c')], env)
  expect(found.stdout, found.stderr).toBe('yes\n4\n')
  const refused = await call(['--gpus', 'hooked.com/gpu=0', ...inImage('echo started')], env)
  expect(refused).toMatchObject({ status: 2, stdout: '' })
  expect(refused.stderr).toContain('hooks, which docker does not take from outside')
})

test('is chosen by itself where it answers, and ends when it is told to', async () => {
  const broken = join(all, 'storage.conf')
  writeFileSync(broken, 'no TOML')
  const said: string[] = []
  const running = await startContainer(
    {
      image,
      command: ['/bin/sh', '-c', 'trap "echo got it; exit 9" TERM; echo up; while :; do sleep 0.05; done'],
      output: 'pipe',
    },
    {
      storeFolder: join(all, 'store'),
      // podman comes first, but a setting that it cannot read is no podman that works.
      env: { ...process.env, CONTAINERS_STORAGE_CONF: broken, DOCKER_HOST: daemon?.host },
      report: (event) => void said.push(event.type === 'note' ? event.text : ''),
    },
  )
  let text = ''
  for await (const chunk of running.stdout ?? []) {
    text += Buffer.from(chunk).toString()
    // Docker's client shows output a moment before it passes signals on.
    if (text === 'up\n') setTimeout(() => running.kill('SIGTERM'), 3000)
  }
  expect([text, await running.exit]).toEqual(['up\ngot it\n', 9])
  expect(said).toContain('Running with docker')
})

test('cache prune takes away what it was handed', async () => {
  const docker = async (...args: string[]): Promise<string> =>
    (await mustRun('docker', ['--host', daemon?.host ?? '', ...args])).stdout
  await docker('tag', (await docker('images', '--quiet')).split('\n')[0] ?? '', 'mine:v1')
  const { stdout, stderr } = await world.call(0, all, ['cache', 'prune', '--json'], { DOCKER_HOST: daemon?.host ?? '' })
  const { handed } = JSON.parse(stdout) as { handed: readonly { engine: string; name: string }[] }
  expect(handed.length, stderr).toBeGreaterThan(0)
  expect(new Set(handed.map(({ engine }) => engine))).toEqual(new Set(['docker']))
  expect(await docker('images', '--format', '{{.Repository}}:{{.Tag}}')).toBe('mine:v1\n')
})
