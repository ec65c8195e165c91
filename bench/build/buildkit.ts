import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { timed, type Cost } from './measure.ts'
import type { Peer, PeerContext, RunningPeer } from './peers.ts'

/**
 * BuildKit's own daemon with uv in a Dockerfile, with runc and the host's network, as the user who runs it: root here, which
 * saves it what being rootless costs.
 *
 * Its cost is that of `buildctl` and of what the daemon and the containers that it waited for have used meanwhile; the peak is
 * the daemon's, without uv's.
 */
export function buildkit(compression: 'gzip' | 'zstd'): Peer {
  return {
    keeps: true,
    lacks: async ({ hasTool, buildkitd, buildctl, uv }) => {
      for (const name of [buildkitd, buildctl, uv, 'runc']) if (!(await hasTool(name))) return name
      return undefined
    },
    start: async (context) => {
      const daemon = await startDaemon(context)
      return {
        build: async (requirements) => {
          await writeDockerfile(context, requirements)
          const before = await usedBy(daemon.child)
          const cost = await timed(command(context, daemon.address, compression))
          const after = await usedBy(daemon.child)
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

async function startDaemon({ scratch, registry, buildkitd }: PeerContext): Promise<Daemon> {
  const config = path.join(scratch, 'buildkitd.toml')
  await writeFile(config, `[registry."${registry}"]\n  http = true\n  insecure = true\n`)
  // The address of a socket is at most 108 characters long.
  const sockets = await mkdtemp(path.join(tmpdir(), 'lw-bk-'))
  const address = `unix://${path.join(sockets, 's')}`
  const flags =
    '--oci-worker=true --containerd-worker=false --oci-worker-net=host --allow-insecure-entitlement network.host'
  const args = ['--config', config, '--root', path.join(scratch, 'buildkit'), '--addr', address, ...flags.split(' ')]
  const child = spawn(buildkitd, args, { stdio: 'ignore' })
  const close = async (): Promise<void> => {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    await rm(sockets, { recursive: true, force: true })
  }
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error('buildkitd ended')
    if (await isSocket(path.join(sockets, 's'))) return { child, address, close }
    await delay(50)
  }
  await close()
  throw new Error('buildkitd does not listen')
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

/** What a process and the ended ones below it have used so far. */
async function usedBy({ pid }: ChildProcess): Promise<Omit<Cost, 'seconds'>> {
  const [times, io, status] = await Promise.all(
    ['stat', 'io', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8')),
  )
  // After the name, which may hold anything: utime, stime, cutime and cstime are fields 14 to 17, in hundredths.
  const fields = (times ?? '')
    .slice((times ?? '').lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const cpuSeconds = fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100
  return {
    cpuSeconds,
    writtenMegabytes: Number(/^write_bytes: (\d+)/m.exec(io ?? '')?.[1]) / 1e6,
    peakMegabytes: (Number(/^VmHWM:\s+(\d+)/m.exec(status ?? '')?.[1]) * 1024) / 1e6,
  }
}

async function isSocket(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isSocket(),
    () => false,
  )
}
