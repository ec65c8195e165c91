import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A running `docker-registry` of Debian. */
export interface DebianRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string
  stop(): Promise<void>
}

/** Starts Debian's docker-registry on a free loopback port with storage of its own. */
export async function startDebianRegistry(): Promise<DebianRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'docker-registry-'))
  const port = await freePort()
  const config = join(folder, 'config.yml')
  await writeFile(
    config,
    [
      'version: 0.1',
      'log: { level: error }',
      `storage: { filesystem: { rootdirectory: ${folder}/data }, delete: { enabled: true } }`,
      `http: { addr: "127.0.0.1:${port}" }`,
    ].join('\n'),
  )
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  const host = `127.0.0.1:${port}`
  for (let tries = 0; !(await answers(`http://${host}/v2/`)); tries++) {
    if (tries === 900 || child.exitCode !== null) throw new Error('docker-registry does not answer')
    await sleep(100)
  }
  return {
    host,
    async stop() {
      if (child.exitCode === null) {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('The port is not known')
  return address.port
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}
