import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { run, timed, usedBy } from './measure.ts'
import type { Peer, PeerContext, RunningPeer } from './peer.ts'

/** Who runs the daemon: whoever runs the benchmark, or an account with subordinate ids in namespaces of its own. */
export type BuildkitMode = 'as it is' | 'rootless'

/**
 * BuildKit's own daemon with uv in a Dockerfile, with runc, overlayfs and the host's network: below RootlessKit as an ordinary
 * account, or as the user who runs it.
 *
 * Its cost is that of `buildctl` and of what the daemon, what stands above it and the containers that it waited for have used
 * meanwhile; the peak is that of the largest of them that still runs, without uv's.
 */
export function buildkit(compression: 'gzip' | 'zstd', mode: BuildkitMode): Peer {
  return {
    keeps: true,
    lacks: async ({ hasTool, buildkitd, buildctl, uv, rootlesskit, rootlessUser }) => {
      const more = mode === 'rootless' ? [rootlesskit, 'newuidmap'] : []
      for (const name of [buildkitd, buildctl, uv, 'runc', ...more]) if (!(await hasTool(name))) return name
      if (mode === 'rootless' && !(await readFile('/etc/subuid', 'utf8').catch(() => '')).includes(`${rootlessUser}:`))
        return `subordinate ids of ${rootlessUser}`
      return undefined
    },
    start: async (context) => {
      const daemon = await startDaemon(context, mode)
      return {
        build: async (requirements) => {
          await writeDockerfile(context, requirements)
          const before = await usedBy(daemon.child.pid)
          const cost = await timed(command(context, daemon.address, compression))
          const after = await usedBy(daemon.child.pid)
          return {
            seconds: cost.seconds,
            cpuSeconds: cost.cpuSeconds + after.cpuSeconds - before.cpuSeconds,
            peakMegabytes: Math.max(cost.peakMegabytes, after.peakMegabytes),
            writtenMegabytes: cost.writtenMegabytes + after.writtenMegabytes - before.writtenMegabytes,
          }
        },
        close: () => daemon.close(),
      } satisfies RunningPeer
    },
  }
}

interface Daemon {
  readonly child: ChildProcess
  readonly address: string
  close(): Promise<void>
}

async function startDaemon(context: PeerContext, mode: BuildkitMode): Promise<Daemon> {
  const { registry, buildkitd } = context
  // Beside the scratch folder, which others may not enter. The address of a socket is at most 108 characters long.
  const home = await mkdtemp(path.join(path.dirname(path.dirname(context.scratch)), 'lw-bk-'))
  const config = path.join(home, 'buildkitd.toml')
  await writeFile(config, `[registry."${registry}"]\n  http = true\n  insecure = true\n`)
  const socket = path.join(home, 's')
  const flags =
    '--oci-worker=true --containerd-worker=false --oci-worker-net=host --allow-insecure-entitlement network.host'
  const args = [
    '--config',
    config,
    '--root',
    path.join(home, 'root'),
    '--addr',
    `unix://${socket}`,
    ...flags.split(' '),
  ]
  const above = mode === 'rootless' ? await rootless(context, home) : []
  const [program = '', ...words] = [...above, buildkitd, ...args]
  if (mode === 'rootless') words.push('--oci-worker-no-process-sandbox')
  const child = spawn(program, words, { stdio: 'ignore', env: { ...process.env, HOME: home, XDG_RUNTIME_DIR: home } })
  const close = async (): Promise<void> => {
    if (child.exitCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    }
    // What containers wrote belongs to subordinate ids.
    if (mode === 'rootless' && !isRoot()) await run(context.rootlesskit, ['rm', '-rf', path.join(home, 'root')])
    await rm(home, { recursive: true, force: true })
  }
  for (let tries = 0; tries < 400; tries++) {
    if (child.exitCode !== null) throw new Error('buildkitd ended')
    if (await isSocket(socket)) return { child, address: `unix://${socket}`, close }
    await delay(50)
  }
  await close()
  throw new Error('buildkitd does not listen')
}

/** What stands before the daemon's command line. The host's network: the registry is on its loopback, and forwarding would cost. */
async function rootless({ rootlesskit, rootlessUser }: PeerContext, home: string): Promise<string[]> {
  const line = [
    rootlesskit,
    '--net=host',
    '--copy-up=/etc',
    '--copy-up=/run',
    `--state-dir=${path.join(home, 'state')}`,
  ]
  if (!isRoot()) return line
  await chmod(home, 0o755)
  await run('chown', ['-R', rootlessUser, home])
  return ['runuser', '-u', rootlessUser, '--', ...line]
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

async function writeDockerfile(
  { scratch, registry, index }: PeerContext,
  requirements: readonly string[],
): Promise<void> {
  const folder = path.join(scratch, 'dockerfile')
  await mkdir(folder, { recursive: true })
  const install = `/tools/uv pip install --system --break-system-packages --no-cache -q --index-url ${index} ${requirements.join(' ')}`
  const lines = [
    `FROM ${registry}/base/python:3.11`,
    `RUN --network=host --mount=type=bind,from=tools,target=/tools ${install}`,
    'COPY . /src',
  ]
  await writeFile(path.join(folder, 'Dockerfile'), `${lines.join('\n')}\n`)
}

function command(
  { scratch, project, registry, uv, buildctl }: PeerContext,
  address: string,
  compression: string,
): readonly string[] {
  const tools = path.dirname(execFileSync('which', [uv]).toString().trim())
  const output = `type=image,name=${registry}/peer/app:1,push=true,registry.insecure=true,compression=${compression}`
  const line = [
    `${buildctl} --addr ${address} build --frontend dockerfile.v0 --progress quiet --allow network.host`,
    `--local context=${project} --local dockerfile=${path.join(scratch, 'dockerfile')}`,
    `--local tools=${tools} --opt context:tools=local:tools --output ${output}`,
  ]
  return line.join(' ').split(' ')
}

async function isSocket(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isSocket(),
    () => false,
  )
}
