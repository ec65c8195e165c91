import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { mustRun, runCommand } from './command.ts'

/** Real servers of Debian's redis-server, each in a folder and on a port of its own. */
export class RedisServers {
  readonly #folder: string
  readonly #processes: ChildProcess[] = []

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Starts one with these settings, as its configuration file has them; `--sentinel` makes it a sentinel. */
  async start(settings: Readonly<Record<string, string | number>>, ...args: readonly string[]): Promise<ChildProcess> {
    const folder = path.join(this.#folder, `redis-${this.#processes.length}`)
    await mkdir(folder)
    const lines = Object.entries({ bind: '127.0.0.1', dir: folder, ...settings }).map(
      ([key, value]) => `${key} ${value}\n`,
    )
    const file = path.join(folder, 'redis.conf')
    await writeFile(file, lines.join(''))
    const server = spawn('redis-server', [file, ...args], { stdio: 'ignore' })
    this.#processes.push(server)
    return server
  }

  /** Ends one at once. */
  async kill(server: ChildProcess): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGKILL')
    await once(server, 'exit')
  }

  /** Ends all. */
  async close(): Promise<void> {
    await Promise.all(this.#processes.map((server) => this.kill(server)))
  }
}

/** Runs redis-cli until its output has these words. @throws Error with the last output */
export async function redisSays(words: string, args: readonly (string | number)[]): Promise<string> {
  let last = ''
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const { stdout, stderr } = await runCommand('redis-cli', args.map(String))
    if (stdout.includes(words)) return stdout
    last = stdout + stderr
  }
  throw new Error(`redis-cli ${args.join(' ')} does not say ${words}: ${last}`)
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Paths of a private authority's certificate, and of a certificate of it for 127.0.0.1. */
export async function makeCertificates(folder: string): Promise<{ ca: string; cert: string; key: string }> {
  const at = (name: string): string => path.join(folder, name)
  const openssl = (...args: readonly string[]) => mustRun('openssl', args)
  const fresh = ['-newkey', 'rsa:2048', '-nodes', '-days', '2']
  await openssl('req', '-x509', ...fresh, '-subj', '/CN=test ca', '-keyout', at('ca.key'), '-out', at('ca.pem'))
  await openssl('req', ...fresh, '-subj', '/CN=redis', '-keyout', at('key.pem'), '-out', at('request.pem'))
  await writeFile(at('extensions'), 'subjectAltName=IP:127.0.0.1\n')
  const sign = [
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-extfile',
    at('extensions'),
    '-days',
    '2',
  ]
  await openssl('x509', '-req', '-in', at('request.pem'), ...sign, '-out', at('cert.pem'))
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') }
}
