import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, isListening, startDockerRegistry, type DockerRegistry } from '../../test/support/docker-registry.ts'
import { usedBy } from './measure.ts'

/** Debian's docker-registry, or another build of it, in a folder of its own. */
export interface Registry extends Omit<DockerRegistry, 'folder' | 'pid'> {
  /** What it keeps, in megabytes. */
  megabytes(): number
  /** CPU seconds that it has used so far. */
  used(): Promise<number>
}

/** What an index gave so far. */
export interface Served {
  /** Bytes of files, in megabytes. */
  readonly megabytes: number
  readonly requests: number
  /** CPU seconds that its processes used. */
  readonly cpuSeconds: number
}

/** An index of wheels. */
export interface Index {
  readonly url: string
  served(): Promise<Served>
  close(): void
}

let lastPort: number | undefined

/** Starts an empty registry, `program` or Debian's; always on the same port, since the images' names have it. */
export async function startRegistry(scratch: string, program?: string): Promise<Registry> {
  lastPort ??= await freePort()
  const options = { scratch, port: lastPort, isCounting: true, ...(program === undefined ? {} : { program }) }
  const { folder, pid, ...registry } = await startDockerRegistry(options)
  return {
    ...registry,
    megabytes: () => Number(execFileSync('du', ['-sm', folder]).toString().split('\t')[0]),
    used: async () => (await usedBy(pid)).cpuSeconds,
  }
}

/**
 * Starts the index over folders of wheels, and over `synthetic:COUNT:MEGABYTES`. With `nginx`, the wheels in folders are sent by
 * nginx, from memory to socket without a copy, as indexes do it that serve many; pages, metadata and the rest stay with the script.
 */
export async function startIndex(wheels: readonly string[], scratch: string, nginx?: string): Promise<Index> {
  const script = path.join(import.meta.dirname, 'wheel-server.mjs')
  const child = spawn(process.execPath, [script, ...wheels], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const url = line.toString().trim()
  const front = nginx === undefined ? undefined : await startNginx(nginx, url, wheels, scratch)
  return {
    url: front?.url ?? url,
    served: async () => {
      const given = (await (await fetch(new URL('/served', url))).json()) as Record<string, number>
      const sent = (await front?.sent()) ?? []
      return {
        megabytes: sent.reduce((sum, bytes) => sum + bytes, given['bytes'] ?? 0) / 1e6,
        requests: (given['requests'] ?? 0) + sent.length,
        cpuSeconds: (await usedBy(child.pid)).cpuSeconds + ((await front?.used()) ?? 0),
      }
    },
    close: () => {
      front?.close()
      child.kill()
    },
  }
}

interface Front {
  readonly url: string
  /** The bytes of each file that it has sent. */
  sent(): Promise<readonly number[]>
  used(): Promise<number>
  close(): void
}

async function startNginx(program: string, behind: string, wheels: readonly string[], scratch: string): Promise<Front> {
  const folder = path.join(scratch, 'nginx')
  await mkdir(path.join(folder, 'files'), { recursive: true })
  for (const from of wheels.filter((name) => path.isAbsolute(name)))
    for (const name of (await readdir(from)).filter((file) => file.endsWith('.whl')))
      await symlink(path.join(from, name), path.join(folder, 'files', name))
  const port = await freePort()
  const log = path.join(folder, 'sent.log')
  const config = `${process.getuid?.() === 0 ? 'user root;' : ''} worker_processes 1; daemon off; pid ${folder}/pid;
    error_log stderr warn; events {}
    http {
      log_format bytes '$body_bytes_sent'; access_log off; default_type application/octet-stream;
      sendfile on; sendfile_max_chunk 1m; tcp_nopush on;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass ${new URL(behind).origin}; }
        location ~ \\.whl$ { root ${folder}; access_log ${log} bytes; try_files $uri @behind; }
        location @behind { access_log off; proxy_pass ${new URL(behind).origin}; }
      }
    }`
  await writeFile(path.join(folder, 'nginx.conf'), config)
  const child = spawn(program, ['-p', folder, '-c', path.join(folder, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error('nginx ended')
    await delay(50)
  }
  return {
    url: behind.replace(/:\d+/, `:${port}`),
    sent: async () => {
      const lines = await readFile(log, 'utf8')
      return lines.split('\n').filter(Boolean).map(Number)
    },
    used: async () => (await usedBy(child.pid)).cpuSeconds,
    close: () => void child.kill(),
  }
}
