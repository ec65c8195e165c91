import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Debian's docker-registry in a folder of its own. */
export interface Registry {
  /** `localhost:PORT`. */
  readonly host: string
  /** What it keeps, in megabytes. */
  megabytes(): number
  close(): Promise<void>
}

/** An index of wheels. */
export interface Index {
  readonly url: string
  /** Bytes of files that were sent so far, in megabytes. */
  servedMegabytes(): Promise<number>
  close(): void
}

let lastPort: number | undefined

/** Starts an empty registry; always on the same port, since the images' names have it. */
export async function startRegistry(scratch: string): Promise<Registry> {
  const folder = await mkdtemp(path.join(scratch, 'registry-'))
  const port = (lastPort ??= await freePort())
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: path.join(folder, 'data') }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}` },
    log: { level: 'error' },
  }
  await writeFile(path.join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', path.join(folder, 'config.yml')], { stdio: 'ignore' })
  await listening(port, child)
  return {
    host: `localhost:${port}`,
    megabytes: () => Number(execFileSync('du', ['-sm', folder]).toString().split('\t')[0]),
    close: async () => {
      if (child.exitCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Starts the index over folders of wheels. */
export async function startIndex(wheels: readonly string[]): Promise<Index> {
  const script = path.join(import.meta.dirname, 'wheel-server.mjs')
  const child = spawn(process.execPath, [script, ...wheels], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const url = line.toString().trim()
  return {
    url,
    servedMegabytes: async () => Number(await (await fetch(new URL('/served', url))).text()) / 1e6,
    close: () => void child.kill(),
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error('docker-registry ended')
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy()
        resolve(true)
      })
      socket.on('error', () => resolve(false))
    })
    if (isOpen) return
    await delay(50)
  }
  throw new Error('docker-registry does not listen')
}
