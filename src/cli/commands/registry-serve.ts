import { once } from 'node:events'
import { resolve } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import type { RequestEvent, ServeOptions } from '../../../registry/server/serve.ts'
import type { Command, Io } from '../command.ts'
import { parseDuration, parsePort } from '../quantity.ts'
import { readKeyPair, type TlsFlags } from '../read-key-pair.ts'
import { readNamedFile } from '../read-named-file.ts'

/** `layerwright registry serve`: an OCI registry in this process, until it is interrupted. */
export const command: Command = {
  define(program) {
    program
      .option('-p, --port <port>', 'port to listen on; 0 for a free one', '5000')
      .option('--host <address>', 'address to listen on; only this machine gets in unless given', '127.0.0.1')
      .option('--storage <where>', 'a folder (made when absent), or `memory`', 'memory')
      .option('--htpasswd <file>', 'let only these users in (`htpasswd -B` entries)')
      .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM)')
      .option('--tls-key <file>', 'the key of the certificate (PEM)')
      .option('--tls-client-ca <file>', 'let only clients in whose certificate this authority signed (PEM)')
      .option('--allow-missing', 'accept manifests whose blobs are not all there (sparse images)')
      .option('--idle-timeout <time>', 'cut uploads and downloads that do not move for this long', '5m')
      .option('--verbose', 'print each request')
  },
  async run(_args, options, io) {
    const flags = options as unknown as Flags
    const { serveRegistry } = await import('../../../registry/server/serve.ts')
    const served = await serveRegistry({
      ...(await serveOptions(flags, io)),
      ...(flags.verbose === true ? { onRequest: (event) => io.stderr.write(`${formatRequest(event)}\n`) } : {}),
      onError: (error) =>
        io.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`),
    })
    try {
      io.stdout.write(`${served.url}\n`)
      if (!isLoopback(flags.host) && flags.htpasswd === undefined && flags.tlsClientCa === undefined)
        io.stderr.write('warning: everybody who reaches this address may read and write (see --htpasswd)\n')
      if (!io.signal.aborted) await once(io.signal, 'abort')
    } finally {
      await served.close()
    }
  },
}

interface Flags extends TlsFlags {
  readonly port: string
  readonly host: string
  readonly storage: string
  readonly htpasswd?: string
  readonly tlsClientCa?: string
  readonly allowMissing?: boolean
  readonly idleTimeout: string
  readonly verbose?: boolean
}

async function serveOptions(flags: Flags, io: Io): Promise<ServeOptions> {
  const port = parsePort(flags.port)
  const pair = await readKeyPair(flags, io.cwd)
  const clientCa = flags.tlsClientCa === undefined ? undefined : await readNamedFile(flags.tlsClientCa, io.cwd)
  if (clientCa !== undefined && pair === undefined)
    throw new BuildError('USAGE', 'HTTPS needs both --tls-cert and --tls-key')
  return {
    port,
    host: flags.host,
    storage:
      flags.storage === 'memory' ? { kind: 'memory' } : { kind: 'directory', path: resolve(io.cwd, flags.storage) },
    ...(flags.htpasswd === undefined ? {} : { htpasswd: resolve(io.cwd, flags.htpasswd) }),
    ...(pair === undefined ? {} : { tls: { cert: pair.cert, key: pair.key, clientCa } }),
    allowMissing: flags.allowMissing === true,
    idleMs: idleOf(flags.idleTimeout),
  }
}

/** Below a second every client would be cut; Node's timers end at 24 days. */
function idleOf(text: string): number {
  const idleMs = parseDuration(text)
  if (idleMs >= 1000 && idleMs < 2 ** 31) return idleMs
  throw new BuildError('USAGE', `--idle-timeout must be from 1s to 24d: \`${text}\``)
}

function formatRequest({ method, url, status, durationMs }: RequestEvent): string {
  return `${method} ${url} ${status ?? 'cut'} ${Math.round(durationMs)} ms`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
