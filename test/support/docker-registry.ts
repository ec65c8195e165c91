import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Debian's `docker-registry` in a temporary folder. */
export interface DockerRegistry {
  /** `localhost:PORT`. */
  readonly host: string
  /** Where it keeps everything. */
  readonly folder: string
  readonly pid: number | undefined
  /** Requests that it answered so far; counted only where `isCounting`. */
  requests(): Promise<number>
  close(): Promise<void>
}

/** Parts of its configuration, as JSON (which is YAML). */
export interface DockerRegistryOptions {
  readonly auth?: object
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientcas?: readonly string[] }
  /** Where its folder is made; the system's temporary folder unless given. */
  readonly scratch?: string
  /** A port in place of a free one. */
  readonly port?: number
  readonly isCounting?: boolean
  /** Another build of it. */
  readonly program?: string
}

/** Starts it on a free port and waits until it answers. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const folder = await mkdtemp(join(options.scratch ?? tmpdir(), 'docker-registry-'))
  const port = options.port ?? (await freePort())
  const counts = options.isCounting === true ? await freePort() : undefined
  const debug = { addr: `127.0.0.1:${counts}`, prometheus: { enabled: true } }
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } },
    http: {
      addr: `127.0.0.1:${port}`,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      ...(counts === undefined ? {} : { debug }),
    },
    log: { level: 'error' },
    ...(options.auth === undefined ? {} : { auth: options.auth }),
  }
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn(options.program ?? 'docker-registry', ['serve', join(folder, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => (log += String(chunk)))
  await listening(port, child, () => log)
  return {
    host: `localhost:${port}`,
    folder,
    pid: child.pid,
    requests: async () => {
      if (counts === undefined) throw new TypeError('The registry was not told to count')
      const text = await (await fetch(`http://127.0.0.1:${counts}/metrics`)).text()
      const lines = text.split('\n').filter((line) => line.startsWith('registry_http_requests_total'))
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
    close: async () => {
      if (child.exitCode === null) {
        child.kill('SIGKILL')
        await new Promise((resolve) => child.once('exit', resolve))
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A port that nobody uses now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Whether somebody accepts connections there, on loopback. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function listening(port: number, child: ChildProcess, log: () => string): Promise<void> {
  for (let tries = 0; tries < 1800; tries++) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${log()}`)
    if (await isListening(port)) return
    await delay(50)
  }
  throw new Error(`docker-registry does not listen: ${log()}`)
}
