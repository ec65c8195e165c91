import { spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { layerOfEntries } from '../../layers/files.ts'
import { collect } from '../../src/core/bytes.ts'
import type { Image } from '../../src/image/image.ts'
import { BACKEND_NAMES, type BackendName } from '../../src/run/container.ts'
import { predict } from '../../src/run/predict/predict.ts'
import { cgroupsAreMissing } from '../../src/run/cgroups.ts'
import { knownHost } from '../../src/run/host.ts'
import { BACKENDS } from '../../src/run/backends/index.ts'
import { unpackMerged } from '../../src/run/rootfs.ts'
import {
  rootfsCache,
  runContainer,
  startContainer,
  type RunContext,
  type RunRequest,
} from '../../src/run/run-container.ts'
import { runStep, type StepRequest } from '../../src/run/step.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { busyboxImage, writeLayout } from '../support/busybox-image.ts'
import { callers, leftovers, makeCallerWorld, type CallerWorld } from '../support/callers.ts'
import { mustRun, type Finished } from '../support/command.ts'
import { findTool, needTool } from '../support/tool.ts'
import { file, layerOf } from '../run/tar-builder.ts'

/*
 * Real runtimes, found on this machine: the same container on each of them, as root, with a range of user ids and with
 * a single one. docker and nerdctl have daemons and files of their own (docker.test.ts, nerdctl.test.ts).
 */

const DIRECT = ['crun', 'runc', 'bubblewrap', 'chroot'] as const
const PROGRAMS: Readonly<Record<BackendName, string>> = {
  podman: 'podman',
  docker: 'docker',
  nerdctl: 'nerdctl',
  crun: 'crun',
  runc: 'runc',
  bubblewrap: 'bwrap',
  chroot: 'unshare',
}
const isRoot = process.getuid?.() === 0

const SCRIPT = [
  'echo "user $(id -u):$(id -g)"',
  'echo "folder $PWD $(cat hello)"',
  'echo "env $FROM_IMAGE $GIVEN"',
  'echo "bind $(cat /bound/file)"',
  'touch /bound/file 2>/dev/null && echo "bind is writable"',
  'touch /new && touch /tmp/new && echo "root is writable"',
  '[ -c /dev/null ] && [ -d /proc/self ] && [ -d /dev/shm ] && echo "devices"',
  'echo 1 > /proc/sys/kernel/hostname 2>/dev/null && echo "proc is writable"',
  'grep -q "^NoNewPrivs:.1" /proc/self/status && echo "no new privileges"',
  'grep -q "^Seccomp:.2" /proc/self/status && echo "system calls are filtered"',
  'exit 7',
].join('\n')

let all: string
let cli: string
let world: CallerWorld
let image: Image
let store: string

beforeAll(async () => {
  // Below a place that other users may enter.
  all = mkdtempSync('/tmp/lwr-')
  chmodSync(all, 0o755)
  store = join(all, 'store')
  const busybox = await findTool('busybox')
  world = await makeCallerWorld(all)
  cli = world.cli
  if (busybox === undefined) return
  image = busyboxImage(busybox)
  await writeLayout(join(all, 'layout'), image)
  mkdirSync(join(all, 'bound'), { mode: 0o755 })
  writeFileSync(join(all, 'bound/file'), 'bound', { mode: 0o644 })
})
afterAll(() => {
  world.close()
  removeTree(all)
})

describe.each(callers)('as $name', ({ name, uid }) => {
  test.for(['podman', ...DIRECT] as const)('%s runs the container as it was asked to', async (runtime, context) => {
    await need(runtime, context)
    needTool(uid < 0 ? undefined : 'yes', name, context)
    if (!isRoot && uid !== process.getuid?.()) return context.skip('needs root to become somebody else')
    const folder = homeOf(uid)
    const result = await callCli(uid, folder, [
      'exec',
      '--runtime',
      runtime,
      '--image',
      `oci:${join(all, 'layout')}:latest`,
      '--env',
      'GIVEN=x y',
      '--volume',
      `${join(all, 'bound')}:/bound:ro`,
      '--',
      '/bin/sh',
      '-c',
      SCRIPT,
    ])
    expect(result.stdout.split('\n')).toEqual([
      'user 0:0',
      'folder /src from the image',
      'env 1 x y',
      'bind bound',
      'root is writable',
      'devices',
      'no new privileges',
      // unshare has no way to load a filter.
      ...(runtime === 'chroot' ? [] : ['system calls are filtered']),
      '',
    ])
    expect(result.status, result.stderr).toBe(7)
    expect(leftovers(folder)).toEqual([])
  })

  test.for(DIRECT)('%s runs the image’s user, without any network', async (runtime, context) => {
    await need(runtime, context)
    needTool(uid < 0 ? undefined : 'yes', name, context)
    if (!isRoot && uid !== process.getuid?.()) return context.skip('needs root to become somebody else')
    const result = await callCli(uid, homeOf(uid), [
      'exec',
      '--runtime',
      runtime,
      '--image',
      `oci:${join(all, 'layout')}:latest`,
      '--user',
      'bob',
      '--network',
      'none',
      '--',
      '/bin/sh',
      '-c',
      'id -u; ls /sys/class/net 2>/dev/null | grep -v lo | wc -l; hostname | wc -l',
    ])
    expect(result.status, result.stderr).toBe(0)
    // With a single id only bubblewrap can give it the number that the image wants.
    const isCaller = uid === 65534 && runtime !== 'bubblewrap'
    // bubblewrap and chroot bind the host's /sys, which shows the host's devices; the others mount their own.
    const [user] = result.stdout.split('\n')
    expect(user).toBe(isCaller ? '0' : '1000')
  })

  // Without subordinate ids podman maps nobody but its caller, and has no device to bind for it.
  test.for(uid === 65534 ? DIRECT : (['podman', ...DIRECT] as const))(
    '%s hands devices, libraries and hooks of a CDI specification over',
    async (runtime, context) => {
      await need(runtime, context)
      needTool(uid < 0 ? undefined : 'yes', name, context)
      if (!isRoot && uid !== process.getuid?.()) return context.skip('needs root to become somebody else')
      const folder = homeOf(uid)
      const cdi = fakeGpu(folder, uid)
      const script = [
        'echo "env $NVIDIA_VISIBLE_DEVICES $FAKE_GPU"',
        '[ -c /dev/nvidia-fake ] && head -c 4 /dev/nvidia-fake | wc -c',
        'cat /usr/lib/libcuda.so.1',
        'touch /usr/lib/libcuda.so.1 2>/dev/null && echo writable',
      ].join('\n')
      const call = (gpus: string): Promise<Finished> =>
        callCli(
          uid,
          folder,
          [
            'exec',
            '--runtime',
            runtime,
            '--gpus',
            gpus,
            '--image',
            `oci:${join(all, 'layout')}:latest`,
            '--',
            '/bin/sh',
            '-c',
            script,
          ],
          { LAYERWRIGHT_CDI_DIRS: cdi },
        )
      const found = await call('all')
      expect(found.stdout.split('\n').slice(0, 3), found.stderr).toEqual(['env void 1', '4', 'fake driver'])
      expect(found.stdout).not.toContain('writable')
      expect(found.stdout + found.stderr).not.toContain('chatter')
      expect(readFileSync(join(folder, 'hooked'), 'utf8')).toBe('hooked\n')
      const missing = await call('nvidia.com/gpu=7')
      expect(missing.status).toBe(1)
      expect(missing.stderr).toContain('Unknown device: `nvidia.com/gpu=7`')
    },
  )
})

test.runIf(isRoot)('podman takes CDI edits, hooks included, from versions that it does not know', async (context) => {
  await need('podman', context)
  const folder = homeOf(0)
  const cdi = fakeGpu(folder, 0, '1.1.0')
  const result = await callCli(
    0,
    folder,
    [
      'exec',
      '--runtime',
      'podman',
      '--gpus',
      'all',
      '--image',
      `oci:${join(all, 'layout')}:latest`,
      '--',
      '/bin/sh',
      '-c',
      'echo $FAKE_GPU; cat /usr/lib/libcuda.so.1; ls /dev/nvidia-fake',
    ],
    { LAYERWRIGHT_CDI_DIRS: cdi },
  )
  expect(result.stdout, result.stderr).toBe('1\nfake driver\n/dev/nvidia-fake\n')
  expect(readFileSync(join(folder, 'hooked'), 'utf8')).toBe('hooked\n')
})

test('cache prune takes away what podman was handed, and nothing else', async (context) => {
  await need('podman', context)
  const home = homeOf(process.getuid?.() ?? 0)
  // An engine of its own, so that nothing of this machine is pruned; podman takes these from the environment.
  const storage = join(home, 'storage.conf')
  writeFileSync(storage, `[storage]\ndriver = "vfs"\ngraphroot = "${home}/graph"\nrunroot = "${home}/run"\n`)
  const env = { CONTAINERS_STORAGE_CONF: storage }
  const uid = process.getuid?.() ?? 0
  const exec = (script: string): Promise<Finished> =>
    callCli(
      uid,
      home,
      ['exec', '--runtime', 'podman', '--image', `oci:${join(all, 'layout')}:latest`, '--', '/bin/sh', '-c', script],
      env,
    )
  const prune = async (...args: string[]): Promise<unknown> => {
    const { status, stdout, stderr } = await callCli(uid, home, ['cache', 'prune', '--json', ...args], env)
    expect(status, stderr).toBe(0)
    return (JSON.parse(stdout) as { handed: unknown }).handed
  }
  const podman = async (...args: string[]): Promise<string> =>
    (await mustRun('podman', args, { env: { ...env, HOME: home, XDG_RUNTIME_DIR: join(home, 'run') } })).stdout.trim()
  const names = async (): Promise<string[]> =>
    (await podman('images', '--format', '{{.Repository}}:{{.Tag}}')).split('\n').toSorted()

  expect((await exec(':')).status).toBe(0)
  const [handed = ''] = await names()
  expect(handed).toMatch(/^localhost\/layerwright-run:[0-9a-f]{24}$/)
  // Another name for the same image, one that looks like ours, and a container that still uses ours.
  await podman('tag', handed, 'localhost/mine:latest')
  await podman('tag', handed, 'localhost/layerwright-run:v1')
  await podman('create', '--name', 'user', '--network', 'host', handed)
  expect(await prune()).toEqual([])
  await podman('rm', 'user')
  expect(await prune('--older-than', '1d')).toEqual([])
  expect(await prune('--dry-run')).toMatchObject([{ engine: 'podman', name: handed }])
  expect(await names()).toContain(handed)
  expect(await prune()).toMatchObject([{ engine: 'podman', name: handed }])
  expect(await names()).toEqual(['localhost/layerwright-run:v1', 'localhost/mine:latest'])
  // Handed over again when it is wanted, and kept while it runs.
  const running = exec('echo up; exec sleep 600')
  const container = async (): Promise<string> => podman('ps', '--quiet')
  for (let turn = 0; turn < 600 && (await container()) === ''; turn++) await sleep(100)
  expect(await prune()).toEqual([])
  await podman('kill', await container())
  expect((await running).stdout).toBe('up\n')
})

test.for(DIRECT)('%s runs a copy where layers cannot be stacked', async (runtime, context) => {
  await need(runtime, context)
  const cache = await rootfsCache(contextOf(runtime))
  const host = { ...(await knownHost(cache.folder, process.env)), overlay: false }
  const tree = await unpackMerged(image.layers, cache)
  const running = await BACKENDS[runtime].start(
    {
      name: `copy-${process.pid}`,
      image,
      folders: async (canStack) => (canStack ? [] : [tree]),
      request: { command: ['/bin/sh', '-c', 'cat hello && rm hello && touch /new && ls'] },
      additionalGids: [],
      binds: [],
      memory: [],
      devices: [],
      hooks: {},
      network: 'host',
      hostname: 'copy',
      stdin: 'ignore',
      terminal: false,
      workFolder: mkdtempSync(join(cache.folder, 'tmp', `run-${process.pid}-`)),
    },
    { stdin: 'ignore', output: 'pipe' },
    host,
  )
  let text = ''
  for await (const chunk of running.stdout ?? []) text += Buffer.from(chunk).toString()
  expect(await running.exit).toBe(0)
  expect(text).toBe('from the image\n')
  expect(existsSync(join(tree, 'src/hello'))).toBe(true)
})

describe('ending', () => {
  test.for(DIRECT)('%s passes signals on and gives the status back', async (runtime, context) => {
    await need(runtime, context)
    const running = await startContainer(
      {
        ...request('trap "echo got it; exit 9" TERM; echo up; while :; do sleep 0.05; done'),
        output: 'pipe',
      },
      contextOf(runtime),
    )
    let text = ''
    for await (const chunk of running.stdout ?? []) {
      text += Buffer.from(chunk).toString()
      if (text === 'up\n') running.kill('SIGTERM')
    }
    expect(text).toBe('up\ngot it\n')
    expect(await running.exit).toBe(9)
  })

  test.for(DIRECT)('%s is stopped by an abort, SIGKILL if need be', async (runtime, context) => {
    await need(runtime, context)
    const abort = new AbortController()
    const running = await startContainer(
      { ...request('echo up; exec sleep 100'), output: 'pipe', signal: abort.signal },
      contextOf(runtime),
    )
    for await (const _ of running.stdout ?? []) {
      abort.abort()
      running.kill('SIGKILL')
    }
    // The first process of a container hears no SIGTERM that it does not listen to; bubblewrap's own is another one.
    expect([128 + 9, 128 + 15]).toContain(await running.exit)
  })

  test.for(DIRECT)(
    '%s leaves no process, no mount and no folder when its caller is killed outright',
    async (runtime, context) => {
      await need(runtime, context)
      if (!isRoot) return context.skip('looks at other processes')
      const folder = homeOf(0)
      const mark = `mark-${runtime}-${process.pid}`
      const child = spawn(
        process.execPath,
        [
          cli,
          'exec',
          '--runtime',
          runtime,
          '--image',
          `oci:${join(all, 'layout')}:latest`,
          '--',
          '/bin/sh',
          '-c',
          `echo up ${mark}; while :; do sleep 0.05; done`,
        ],
        { env: { ...process.env, LAYERWRIGHT_CACHE: join(folder, 'cache') }, stdio: ['ignore', 'pipe', 'ignore'] },
      )
      for await (const _ of child.stdout) break
      const groups = cgroupsBelow(join(folder, 'cache/rootfs/0/tmp'))
      if (runtime === 'runc' && !cgroupsAreMissing()) expect(groups).not.toEqual([])
      child.kill('SIGKILL')
      for (let turn = 0; turn < 600 && processesWith(mark).length > 0; turn++) await sleep(100)
      expect(processesWith(mark)).toEqual([])
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder)
      await callCli(0, folder, [
        'exec',
        '--runtime',
        runtime,
        '--image',
        `oci:${join(all, 'layout')}:latest`,
        '--',
        '/bin/sh',
        '-c',
        ':',
      ])
      expect(leftovers(folder)).toEqual([])
      expect(groups.filter((path) => existsSync(path))).toEqual([])
    },
  )

  /** Containers of podman whose command has a mark in it. */
  const containersWith = async (mark: string): Promise<string[]> => {
    const { stdout } = await mustRun('podman', ['ps', '--all', '--no-trunc', '--format', '{{.Command}}'])
    return stdout.split('\n').filter((line) => line.includes(mark))
  }

  test('podman leaves no container that ignores SIGTERM, and the next run takes away that of a killed one', async (context) => {
    await need('podman', context)
    const folder = homeOf(0)
    const ours = ['exec', '--runtime', 'podman', '--image', `oci:${join(all, 'layout')}:latest`]
    const run = (command: string): string[] => [...ours, '--', '/bin/sh', '-c', command]
    const left: number[] = []
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const mark = `leftover-${signal}-${process.pid}`
      const child = spawn(
        process.execPath,
        [cli, ...run(`trap "" TERM; echo up ${mark}; while :; do sleep 0.05; done`)],
        { env: { ...process.env, LAYERWRIGHT_CACHE: join(folder, 'cache') }, stdio: ['ignore', 'pipe', 'ignore'] },
      )
      const ended = new Promise((resolve) => child.once('exit', resolve))
      for await (const _ of child.stdout) break
      child.kill(signal)
      await ended
      left.push((await containersWith(mark)).length)
      if (signal === 'SIGTERM') continue
      await callCli(0, folder, run(':'))
      left.push((await containersWith(mark)).length)
    }
    expect(left).toEqual([0, 1, 0])
  })
})

describe('runStep()', () => {
  const step = (command: string, more: Partial<StepRequest> = {}): StepRequest => ({
    layers: image.layers,
    platform: { os: 'linux', architecture: image.config.architecture },
    config: image.config.config ?? {},
    command,
    epochSeconds: 0,
    output: () => {},
    ...more,
  })
  const take = (runtime: string, request: StepRequest): Promise<{ diffId: string; paths: string[]; bytes: Buffer }> =>
    runStep(request, contextOf(runtime), async (entries) => {
      const layer = layerOfEntries(entries, { compression: 'none' })
      const bytes = await collect(layer.blob, 2 ** 26)
      return { diffId: layer.diffId(), paths: entries.map(({ kind, path }) => `${kind} ${path}`).sort(), bytes }
    })
  const WORK = [
    'cat /run/secrets/token > /dev/null',
    'echo new > /z && ln /z /a && ln -s z /link',
    'mkdir -p /made/deep && chmod 700 /made && echo x > /made/deep/file',
    'rm hello && rm -rf /home && mkdir /home && touch /home/again',
    'rm /etc/group',
  ].join(' && ')

  const CHANGED = [
    'directory etc',
    'directory home',
    'directory made',
    'directory made/deep',
    'directory src',
    'file a',
    'file home/again',
    'file made/deep/file',
    'hardlink z',
    'symlink link',
    'whiteout etc/group',
    'whiteout home/bob',
    'whiteout src/hello',
  ]

  test('gives the same layer on every runtime and every time, without a trace of the secret', async (context) => {
    if (!isRoot) return context.skip('whose owners are kept only as root')
    writeFileSync(join(all, 'secret'), 's3cret-canary')
    const binds = [{ source: join(all, 'secret'), destination: '/run/secrets/token', options: ['ro'] }]
    const results = []
    for (const runtime of [...DIRECT, 'crun']) {
      await need(runtime as BackendName, context)
      results.push(await take(runtime, step(WORK, { binds })))
    }
    const [first] = results
    expect(new Set(results.map(({ diffId }) => diffId)).size).toBe(1)
    expect(first?.paths).toEqual(CHANGED)
    expect(first?.bytes.includes('s3cret-canary')).toBe(false)
    expect(first?.bytes.includes('run/secrets')).toBe(false)
  })

  test.for(DIRECT)('%s captures the same from a copy, where layers cannot be stacked', async (runtime, context) => {
    await need(runtime, context)
    if (!isRoot) return context.skip('whose owners are kept only as root')
    writeFileSync(join(all, 'secret'), 's3cret-canary')
    const binds = [{ source: join(all, 'secret'), destination: '/run/secrets/token', options: ['ro'] }]
    const other = { ...contextOf(runtime), storeFolder: mkdtempSync(join(all, 'copying-')) }
    const host = { ...(await knownHost((await rootfsCache(other)).folder, process.env)), overlay: false }
    const file = join((await rootfsCache(other)).folder, 'host.json')
    const known = JSON.parse(readFileSync(file, 'utf8')) as object
    writeFileSync(file, JSON.stringify({ ...known, host }))
    const paths = await runStep(step(WORK, { binds }), other, async (entries) =>
      entries.map(({ kind, path }) => `${kind} ${path}`).sort(),
    )
    expect(paths).toEqual(CHANGED)
  })

  test.for(DIRECT)('%s runs a step on what others deleted, replaced and left alone', async (runtime, context) => {
    await need(runtime, context)
    if (!isRoot) return context.skip('whose owners are kept only as root')
    writeFileSync(join(all, 'secret'), 's3cret-canary')
    const binds = [{ source: join(all, 'secret'), destination: '/run/secrets/token', options: ['ro'] }]
    const empty = layerOf((await take(runtime, step(':'))).bytes)
    const made = layerOf((await take(runtime, step(WORK, { binds }))).bytes)
    const layers = [...image.layers, empty, made, empty]
    const look = 'ls -la /home /etc /src > /seen && test ! -e /home/bob && test ! -e /etc/group && cat /made/deep/file'
    const { paths } = await take(runtime, step(look, { layers }))
    expect(paths).toEqual(['file seen'])
    expect(await take(runtime, step('rm -r /home && mkdir -p /home/x', { layers }))).toMatchObject({
      paths: ['directory home', 'directory home/x', 'whiteout home/again'],
    })
  })

  test('shows what went wrong, and refuses special files', async (context) => {
    await need('chroot', context)
    const said: string[] = []
    const failing = step('echo to-out; echo to-err >&2; exit 5', {
      output: (text) => said.push(text),
    })
    await expect(take('chroot', failing)).rejects.toMatchObject({ code: 'RUN_FAILED', data: { status: 5 } })
    expect(said.sort().join('')).toBe('to-err\nto-out\n')
    await expect(take('chroot', step('mkfifo /pipe'))).rejects.toThrow(/named pipe.*\/pipe/)
    await expect(take('chroot', step("touch $(printf '/caf\\377')"))).rejects.toMatchObject({
      message: 'The command left something that no layer can hold',
      cause: { message: expect.stringContaining('/caf') as string },
    })
    await expect(take('chroot', step("sh -c 'kill -9 $$'"))).rejects.toMatchObject({
      hint: expect.stringContaining('SIGKILL ended it') as string,
    })
    // What a step leaves running ends with it.
    await take('chroot', step('sleep 1000 & echo x > /y'))
    expect(readdirSync(join(store, 'rootfs', String(process.getuid?.() ?? 0), 'tmp'))).toEqual([])
  })
})

test('a step that fills the disk says so', async (context) => {
  await need('crun', context)
  if (!isRoot) return context.skip('mounts a small file system')
  const folder = join(all, 'small')
  mkdirSync(folder)
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', folder])
  try {
    for (const megabytes of [15, 60]) {
      const request = {
        layers: image.layers,
        platform: { os: 'linux', architecture: image.config.architecture },
        config: image.config.config ?? {},
        command: `head -c ${megabytes}000000 /dev/zero > /large`,
        epochSeconds: 0,
        output: () => {},
      }
      const context = { ...contextOf('crun'), storeFolder: folder }
      await expect(runStep(request, context, async () => {})).rejects.toMatchObject({ code: 'DISK_FULL' })
    }
    expect(readdirSync(join(folder, 'rootfs/0/tmp'))).toEqual([])
  } finally {
    await mustRun('umount', [folder])
  }
})

test.for(['dev', 'etc', 'proc', 'sys', 'tmp'])(
  'refuses an image whose /%s is a link, before anything runs',
  async (name, context) => {
    const busybox = await findTool('busybox')
    needTool(busybox, 'busybox', context)
    const linked = busyboxImage(busybox, {}, [{ name, type: '2', link: `/srv/${name}`, mode: 0o777 }])
    for (const runtime of DIRECT) {
      await need(runtime, context)
      await expect(
        runContainer({ image: linked, command: ['/bin/sh', '-c', 'exit 9'] }, contextOf(runtime)),
      ).rejects.toMatchObject({ code: 'IMAGE_INVALID', message: expect.stringContaining(`/${name}`) as string })
    }
  },
)

test('predict() asks a server in a container, and says what it printed when its setup fails', async (context) => {
  const busybox = await findTool('busybox')
  needTool(busybox, 'busybox', context)
  await need('chroot', context)
  const serving = (health: string): Image =>
    busyboxImage(
      busybox,
      { Cmd: ['/bin/sh', '-c', 'echo starting up; nc -ll -p $PORT -e /bin/handle & trap "exit 0" TERM; wait'] },
      [file('bin/handle', HANDLER.replace('HEALTH', health), 0o755)],
    )
  const ask = (health: string): ReturnType<typeof predict> =>
    predict(
      { image: serving(health), inputs: ['text=you'], folder: '/', log: () => {}, setupTimeoutMs: 60_000 },
      contextOf('chroot'),
    )
  await expect(ask('READY')).resolves.toMatchObject({ output: 'hello', metrics: { predict_time: 1 } })
  await expect(ask('SETUP_FAILED')).rejects.toMatchObject({
    code: 'RUN_FAILED',
    message: expect.stringMatching(/setup.*starting up/s),
  })
})

test('a name that is no runtime, and one that is not installed', async () => {
  await expect(runContainer(request(':'), contextOf('crum'))).rejects.toMatchObject({
    code: 'USAGE',
    hint: expect.stringMatching(/`crun`/),
  })
  await expect(
    runContainer(request(':'), { ...contextOf('nerdctl'), env: { PATH: '/nowhere' } }),
  ).rejects.toMatchObject({
    code: 'HOST_UNSUPPORTED',
  })
  expect(BACKEND_NAMES).toContain('nerdctl')
})

/** Answers every request as a model's server would. */
const HANDLER = `#!/bin/sh
read -r method path rest
length=0
while read -r name value; do
  [ "$name" = "$(echo -e '\\r')" ] && break
  case "$name" in [Cc]ontent-[Ll]ength:) length=\${value%?};; esac
done
[ "$length" -gt 0 ] && head -c "$length" > /dev/null
case "$path" in
  /health-check) body='{"status":"HEALTH","setup":{"logs":""}}';;
  /predictions) body='{"status":"succeeded","output":"hello","metrics":{"predict_time":1}}';;
  *) body='{}';;
esac
printf 'HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\nconnection: close\\r\\ncontent-length: %d\\r\\n\\r\\n%s' "\${#body}" "$body"
`

function request(script: string): RunRequest {
  return { image, command: ['/bin/sh', '-c', script] }
}

function contextOf(runtime: string): RunContext {
  return { storeFolder: store, env: process.env, runtime, report: () => {} }
}

async function need(runtime: BackendName, context: TestContext): Promise<void> {
  needTool(await findTool('busybox'), 'busybox', context)
  needTool(await findTool(PROGRAMS[runtime]), PROGRAMS[runtime], context)
}

const homeOf = (uid: number): string => world.homeOf(uid)

function callCli(
  uid: number,
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  return world.call(uid, folder, args, env)
}

function processesWith(mark: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`echo up ${mark}`)
    } catch {
      // It ended meanwhile.
      return false
    }
  })
}

/** The cgroups of the containers whose folders lie here, as runc notes them. */
function cgroupsBelow(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('/state.json'),
  )
  return files.flatMap((path) => {
    const state = JSON.parse(readFileSync(join(folder, path), 'utf8')) as { cgroup_paths?: Record<string, string> }
    return Object.values(state.cgroup_paths ?? {}).filter((group) => existsSync(group))
  })
}

/** A driver that is a text file, a device that is /dev/zero, and a hook that leaves a mark. */
function fakeGpu(folder: string, uid: number, cdiVersion = '0.5.0'): string {
  const cdi = join(folder, 'cdi')
  mkdirSync(cdi)
  writeFileSync(join(folder, 'libcuda.so.1'), 'fake driver\n', { mode: 0o644 })
  const spec = {
    cdiVersion,
    kind: 'nvidia.com/gpu',
    containerEdits: {
      env: ['FAKE_GPU=1'],
      mounts: [
        {
          hostPath: join(folder, 'libcuda.so.1'),
          containerPath: '/usr/lib/libcuda.so.1',
          options: ['ro', 'nosuid', 'nodev', 'bind'],
        },
      ],
      hooks: [
        {
          hookName: 'createContainer',
          path: '/bin/sh',
          args: [
            'sh',
            '-c',
            `cat > /dev/null; echo chatter >&2; echo chatter; echo hooked > ${join(folder, 'hooked')}`,
          ],
        },
      ],
    },
    devices: [{ name: 'all', containerEdits: { deviceNodes: [{ path: '/dev/nvidia-fake', hostPath: '/dev/zero' }] } }],
  }
  writeFileSync(join(cdi, 'fake.json'), JSON.stringify(spec))
  if (isRoot) for (const path of [cdi, join(folder, 'libcuda.so.1')]) chownSync(path, uid, uid)
  return cdi
}
