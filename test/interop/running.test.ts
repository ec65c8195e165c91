import { spawn, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { CGROUP_VIEWS } from '../support/cgroup-views.ts'
import { callers, leftovers, makeCallerWorld, type CallerWorld } from '../support/callers.ts'
import { mustRun } from '../support/command.ts'
import { freePort } from '../support/docker-registry.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * One built image, trained, served and starved of memory on the runtimes of this machine, as root and without.
 */

const root = join(import.meta.dirname, '..', '..')
const isRoot = process.getuid?.() === 0
const PROGRAMS = { podman: 'podman', crun: 'crun', runc: 'runc', bubblewrap: 'bwrap', chroot: 'unshare' } as const
type Runtime = keyof typeof PROGRAMS

const RUN = `import os

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, megabytes: int = 0) -> str:
        held = b"x" * (megabytes << 20)
        bound = open("/bound/file").read() if os.path.exists("/bound/file") else "nothing"
        return f"{len(held) >> 20} {os.environ.get('GIVEN')} {bound}"
`
const TRAIN = `from cog import BaseModel, Input, Path


class TrainingOutput(BaseModel):
    weights: Path


def train(prefix: str = Input(description="Comes first"), epochs: int = 3) -> TrainingOutput:
    weights = Path("weights.txt")
    weights.write_text(prefix * epochs)
    return TrainingOutput(weights=weights)
`

/** Calls as programs make them; those that are refused are told by the error's number. */
const CALLS = `import ctypes, multiprocessing, os, platform, socket, subprocess, threading, time

libc = ctypes.CDLL(None, use_errno=True)
X64 = platform.machine() == "x86_64"
NUMBERS = {"unshare": 272, "keyctl": 250, "mount": 165, "bpf": 321} if X64 else {"unshare": 97, "keyctl": 219, "mount": 40, "bpf": 280}

def call(number, *args):
    ctypes.set_errno(0)
    return "done" if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args)) >= 0 else ctypes.get_errno()

print("unshare", call(NUMBERS["unshare"], 0x10000000))
print("keyctl", call(NUMBERS["keyctl"], 0, 0))
print("mount", call(NUMBERS["mount"], 0, 0, 0, 0, 0))
print("bpf", call(NUMBERS["bpf"], 0, 0, 0))
print("io_uring", call(425, 1, 0))
print("x32", call(0x40000027) if X64 else 38)
answers = []
threads = [threading.Thread(target=lambda: answers.append(1)) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with multiprocessing.get_context("fork").Pool(2) as pool:
    answers += pool.map(abs, [1, -1])
a, b = socket.socketpair()
a.send(subprocess.check_output(["/bin/sh", "-c", "echo ok"]))
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
print("programs", len(answers), b.recv(9).decode().strip(), time.clock_gettime(time.CLOCK_MONOTONIC) > 0)
print(open("/proc/self/status").read().split("Seccomp:")[1].split()[0])
`

const RUNTIMES_OF: Readonly<Record<string, readonly Runtime[]>> = {
  root: ['podman', 'runc', 'chroot'],
  'a user with subordinate ids': ['podman', 'crun'],
  'a user with a single id': ['crun', 'bubblewrap'],
}

let all: string
let image: string
let world: CallerWorld
const homes = new Map<number, string>()

beforeAll(async () => {
  all = mkdtempSync('/tmp/lwu-')
  chmodSync(all, 0o755)
  const project = join(all, 'project')
  mkdirSync(project)
  mkdirSync(join(all, 'bound'), { mode: 0o755 })
  writeFileSync(join(all, 'bound/file'), 'from here', { mode: 0o644 })
  writeFileSync(
    join(project, 'cog.yaml'),
    'build:\n  python_version: "3.11"\nrun: "run.py:Runner"\ntrain: "train.py:train"\n',
  )
  writeFileSync(join(project, 'run.py'), RUN)
  writeFileSync(join(project, 'train.py'), TRAIN)
  const cache = join(root, '.cache', 'interop-store')
  mkdirSync(cache, { recursive: true })
  await mustRun(
    process.execPath,
    [join(root, 'bin/layerwright.mjs'), 'build', project, '-q', '-o', `oci:${all}/image:v1`],
    { env: { LAYERWRIGHT_CACHE: cache } },
  )
  await mustRun('chmod', ['-R', 'a+rX', join(all, 'image')])
  image = `oci:${all}/image:v1`
  world = await makeCallerWorld(all)
})
afterAll(() => {
  world.close()
  removeTree(all)
})

describe.each(callers)('as $name', ({ name, uid }) => {
  // A few for each caller: what differs between runtimes is known by then, and podman without root maps ids for the second only.
  const runtimes = RUNTIMES_OF[name] ?? []

  test.for(runtimes)('%s trains, and what it made arrives', async (runtime, context) => {
    await need(runtime, context)
    needTool(uid < 0 ? undefined : 'yes', name, context)
    if (!isRoot && uid !== process.getuid?.()) return context.skip('needs root to become somebody else')
    const home = homeOf(uid)
    const args = ['train', image, '--runtime', runtime, '-q', '-i', 'prefix=ab', '-i', 'epochs=2', '-o', runtime]
    const { status, stdout, stderr } = await world.call(uid, home, args)
    expect(status, stderr).toBe(0)
    const weights = filesAt(home, runtime)
    expect(weights, stdout).toHaveLength(1)
    expect(readFileSync(weights[0] ?? '', 'utf8')).toBe('abab')
    expect(leftovers(home)).toEqual([])
  })
})

test.for(['podman', 'crun', 'bubblewrap'] as const)(
  '%s serves on a port, with a volume and a variable, until it is told to end',
  async (runtime, context) => {
    await need(runtime, context)
    const home = homeOf(process.getuid?.() ?? 0)
    const port = await freePort()
    const more = ['-e', 'GIVEN=a b', '-v', `${join(all, 'bound')}:/bound:ro`]
    const server = serve(home, ['--runtime', runtime, '-p', String(port), ...more])
    try {
      await ready(port, server)
      expect(await predict(port, 1)).toMatchObject({ status: 'succeeded', output: '1 a b from here' })
    } finally {
      await end(server)
    }
    expect(leftovers(home)).toEqual([])
  },
)

describe.each(callers)('as $name', ({ name, uid }) => {
  test.for(['crun', 'bubblewrap'] as const)(
    '%s refuses calls and lets programs do theirs',
    async (runtime, context) => {
      await need(runtime, context)
      needTool(uid < 0 ? undefined : 'yes', name, context)
      if (!isRoot && uid !== process.getuid?.()) return context.skip('needs root to become somebody else')
      const home = homeOf(uid)
      const args = ['exec', '--runtime', runtime, '--image', image, '--', 'python', '-c', CALLS]
      const { status, stdout, stderr } = await world.call(uid, home, args)
      expect(stdout.trim().split('\n'), stderr).toEqual([
        'unshare 1',
        'keyctl 1',
        'mount 1',
        'bpf 1',
        'io_uring 38',
        // A call of another architecture that runc and crun let pass does not exist in most kernels.
        'x32 38',
        'programs 18 ok True',
        '2',
      ])
      expect(status).toBe(0)
    },
  )
})

describe.runIf(isRoot).each(CGROUP_VIEWS)('with $view', ({ enter }) => {
  test.for(['runc', 'crun'] as const)('%s predicts', async (runtime, context) => {
    await need(runtime, context)
    const other = await makeCallerWorld(mkdtempSync(join(all, 'w-')), enter)
    const home = homeOf(0)
    const args = ['predict', image, '--runtime', runtime, '-q', '-i', 'megabytes=2', '-e', 'GIVEN=there']
    const { status, stdout, stderr } = await other.call(0, home, args)
    expect(status, stderr).toBe(0)
    expect(stdout).toContain('2 there nothing')
    expect(leftovers(home)).toEqual([])
  })
})

test('too little memory fails that prediction and not the next', async (context) => {
  await need('crun', context)
  const group = memoryGroup(`lw-test-${process.pid}`, 400)
  if (group === undefined) return context.skip('needs a memory cgroup that this user may fill')
  const home = homeOf(0)
  const port = await freePort()
  const server = serve(home, ['--runtime', 'crun', '-p', String(port)], group)
  try {
    await ready(port, server)
    expect(await predict(port, 8)).toMatchObject({ status: 'succeeded' })
    const starved = await predict(port, 2000)
    expect(starved).toMatchObject({ status: 'failed' })
    expect(starved.error).toMatch(/SIGKILL.*too little memory/)
    expect(await predict(port, 8)).toMatchObject({ status: 'succeeded', output: '8 None nothing' })
  } finally {
    await end(server)
    for (let turn = 0; turn < 600 && !isEmpty(group); turn++) await sleep(100)
    rmdirSync(group)
  }
})

/** One home for each user, so that the image is unpacked once for all runtimes. */
function homeOf(uid: number): string {
  const home = homes.get(uid) ?? world.homeOf(uid)
  homes.set(uid, home)
  return home
}

async function need(runtime: Runtime, context: TestContext): Promise<void> {
  needTool(await findTool(PROGRAMS[runtime]), PROGRAMS[runtime], context)
}

/** Starts the server, in a cgroup if one is given. */
function serve(home: string, args: readonly string[], group?: string): ChildProcess {
  const command = [process.execPath, world.cli, 'serve', image, '-q', ...args]
  const script = group === undefined ? 'exec "$@"' : `echo $$ > ${group}/cgroup.procs && exec "$@"`
  return spawn('sh', ['-c', script, 'sh', ...command], {
    cwd: home,
    env: { ...process.env, HOME: home, XDG_RUNTIME_DIR: join(home, 'run'), LAYERWRIGHT_CACHE: join(home, 'cache') },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

async function ready(port: number, server: ChildProcess): Promise<void> {
  for (let turn = 0; turn < 1200; turn++) {
    if (server.exitCode !== null) throw new Error(`The server ended with status ${server.exitCode}`)
    try {
      const answer = (await (await fetch(`http://127.0.0.1:${port}/health-check`)).json()) as { status: string }
      if (answer.status === 'READY') return
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
    }
    await sleep(100)
  }
  throw new Error('The server did not become ready')
}

interface Prediction {
  readonly status: string
  readonly output?: string
  readonly error?: string
}

async function predict(port: number, megabytes: number): Promise<Prediction> {
  const answer = await fetch(`http://127.0.0.1:${port}/predictions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: { megabytes } }),
  })
  return (await answer.json()) as Prediction
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return
  const ended = once(server, 'exit')
  server.kill('SIGINT')
  await ended
}

/** A cgroup whose processes may hold so much memory, of either version; undefined where none can be made. */
function memoryGroup(name: string, megabytes: number): string | undefined {
  const v1 = existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes')
  const folder = join(v1 ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup', name)
  try {
    mkdirSync(folder)
    writeFileSync(join(folder, v1 ? 'memory.limit_in_bytes' : 'memory.max'), `${megabytes}M`)
    return folder
  } catch (error) {
    if (existsSync(folder)) rmdirSync(folder)
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
}

function isEmpty(group: string): boolean {
  return readFileSync(join(group, 'cgroup.procs'), 'utf8').trim() === ''
}

/**
 * Files that begin with a name, or lie in a folder that does. The rest of the home is not looked into: podman keeps root file
 * systems there, and listing a folder goes through their link to this machine's own `/run`.
 */
function filesAt(home: string, name: string): string[] {
  const found = readdirSync(home).filter((entry) => entry.startsWith(name))
  const paths = found.flatMap((entry) => {
    const path = join(home, entry)
    if (statSync(path).isFile()) return [path]
    return readdirSync(path, { recursive: true, encoding: 'utf8' }).map((below) => join(path, below))
  })
  return paths.filter((path) => statSync(path).isFile())
}
