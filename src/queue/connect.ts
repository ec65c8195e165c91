import { readFile } from 'node:fs/promises'
import type { RedisClientType } from '@redis/client'
import { createClient, createCluster, createSentinel, ErrorReply } from '@redis/client'
import { BuildError, type ErrorCode } from '../core/errors.ts'
import { parseQueueUrl, type QueueAddress } from './queue-url.ts'

/** What a queue asks of Redis, be it one server, a cluster or what sentinels watch. */
export type Connection = Pick<
  RedisClientType<Record<string, never>, Record<string, never>, Record<string, never>, 2>,
  'eval' | 'xRange' | 'hGetAll' | 'hGet' | 'set'
> & { close(): unknown }

/**
 * Connects.
 *
 * @throws BuildError USAGE for a URL or certificate that cannot be read, NETWORK_FAILED when nobody answers,
 *   CERTIFICATE_INVALID, CREDENTIALS_INVALID
 */
export async function connect(url: string): Promise<Connection> {
  const address = parseQueueUrl(url)
  const tls = await readTls(address)
  const client = makeClient(address, tls)
  // Every command rejects by itself; without a listener the event would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const { code, hint } = explainFailure(address, reason)
    throw new BuildError(code, `Redis does not answer: \`${describe(address)}\`: ${reason}`, { cause, hint })
  }
  return client as unknown as Connection
}

/** What Redis said no to, as an error for people; anything else comes back as it is. */
export function explainRefusal(error: unknown): unknown {
  if (!(error instanceof ErrorReply)) return error
  const isTemporary = /^(OOM|MISCONF|READONLY|LOADING|BUSY|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|TRYAGAIN)/.test(
    error.message,
  )
  return new BuildError(isTemporary ? 'NETWORK_FAILED' : 'USAGE', `Redis refuses the command: ${error.message}`, {
    cause: error,
    hint: isTemporary
      ? "Look at the server's memory (maxmemory), disk and role, and try again."
      : "Check that --queue names a stream, and the user's rights.",
  })
}

interface Made {
  on(event: 'error', listener: () => void): unknown
  connect(): Promise<unknown>
}

function makeClient(address: QueueAddress, tls: TlsFiles): Made {
  const { kind, nodes, login, database } = address
  const [first = { host: '127.0.0.1', port: 6379 }] = nodes
  const plain = { connectTimeout: 5000, reconnectStrategy: false } as const
  const socket = address.isTls ? { ...plain, tls: true as const, ...tls } : plain
  if (kind === 'socket') {
    return createClient({ ...login, RESP: 2, database, socket: { path: address.path, reconnectStrategy: false } })
  }
  if (kind === 'server') return createClient({ ...login, RESP: 2, database, socket: { ...socket, ...first } })
  if (kind === 'cluster') {
    return createCluster({
      RESP: 2,
      rootNodes: nodes.map((node) => ({ socket: { ...socket, ...node } })),
      defaults: { ...login, socket },
    })
  }
  return createSentinel({
    RESP: 2,
    name: address.service,
    sentinelRootNodes: [...nodes],
    nodeClientOptions: { ...login, database, socket },
    sentinelClientOptions: { ...address.sentinelLogin, socket },
    maxCommandRediscovers: 3,
  })
}

interface TlsFiles {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
}

async function readTls({ tls }: QueueAddress): Promise<TlsFiles> {
  const read = await Promise.all(Object.entries(tls).map(async ([name, path]) => [name, await readPem(path)] as const))
  return Object.fromEntries(read)
}

async function readPem(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new BuildError('USAGE', `The queue's URL names a file that cannot be read: \`${path}\``, { cause })
  })
}

function describe({ kind, nodes, path, service }: QueueAddress): string {
  const hosts = nodes.map(({ host, port }) => `${host}:${port}`).join(',')
  return { socket: path, server: hosts, cluster: `cluster ${hosts}`, sentinel: `${service} of sentinels ${hosts}` }[
    kind
  ]
}

/** What has gone wrong before the first command: neither certificates nor passwords are cured by asking again. */
export function explainFailure(
  { isTls }: Pick<QueueAddress, 'isTls'>,
  reason: string,
): { readonly code: ErrorCode; readonly hint: string } {
  if (/alert.*(certificate|unknown ca)/i.test(reason))
    return { code: 'CREDENTIALS_INVALID', hint: 'Show a client certificate: `?ssl_certfile=FILE&ssl_keyfile=FILE`.' }
  if (/certificate|self.signed|issuer/i.test(reason))
    return { code: 'CERTIFICATE_INVALID', hint: 'Name the authority: `?ssl_ca_certs=/etc/ca.pem`.' }
  if (/ENOTFOUND/.test(reason))
    return { code: 'HOST_NOT_FOUND', hint: 'No name server knows this host. Check its name.' }
  if (/wrong version number|packet length too long|EPROTO/i.test(reason))
    return {
      code: 'TLS_FAILED',
      hint: 'The server speaks no TLS on this port: `redis://` is for that, `rediss://` for TLS.',
    }
  if (/WRONGPASS|NOAUTH|NOPERM|ERR AUTH/.test(reason))
    return { code: 'CREDENTIALS_INVALID', hint: 'Check user and password in the URL.' }
  const hint = isTls
    ? 'Check host and port, and that the server speaks TLS there.'
    : 'Check host and port; `rediss://` is for TLS.'
  return { code: 'NETWORK_FAILED', hint }
}
