import { BuildError } from '../core/errors.ts'

/** Where a queue's Redis is, as the worker's URLs say it (`python/launcher/queue/connect.py`). */
export interface QueueAddress {
  readonly kind: 'server' | 'socket' | 'cluster' | 'sentinel'
  /** Hosts with ports; of sentinels there may be several. Empty for a socket. */
  readonly nodes: readonly QueueNode[]
  /** Path of a socket. */
  readonly path: string
  /** What the sentinels call the servers. */
  readonly service: string
  readonly database: number
  readonly isTls: boolean
  readonly login: QueueLogin
  /** For the sentinels themselves. */
  readonly sentinelLogin: QueueLogin
  /** Paths of PEM files. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

/** A host and its port. */
export interface QueueNode {
  readonly host: string
  readonly port: number
}

/** User and password, where they are given. */
export interface QueueLogin {
  readonly username?: string
  readonly password?: string
}

const KINDS: Readonly<Record<string, QueueAddress['kind']>> = {
  redis: 'server',
  rediss: 'server',
  unix: 'socket',
  'redis+cluster': 'cluster',
  'rediss+cluster': 'cluster',
  'redis+sentinel': 'sentinel',
  'rediss+sentinel': 'sentinel',
}

/** The options of redis-py that matter here; others, as timeouts, are the worker's affair. */
type Option =
  | 'ssl_ca_certs'
  | 'ssl_certfile'
  | 'ssl_keyfile'
  | 'sentinel_username'
  | 'sentinel_password'
  | 'username'
  | 'password'
  | 'db'

/**
 * Parses the URL of a queue.
 *
 * @throws BuildError USAGE; its text has no part of the URL but the scheme
 */
export function parseQueueUrl(url: string): QueueAddress {
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(url) ?? []
  const kind = KINDS[scheme]
  if (scheme === '') {
    throw new BuildError('USAGE', "A queue's URL begins with its scheme, as in `redis://localhost:6379`", {
      hint: `There are ${Object.keys(KINDS).join(', ')}.`,
    })
  }
  if (kind === undefined) {
    throw new BuildError('USAGE', `A queue's URL does not begin with: \`${scheme}:\``, {
      hint: `There are ${Object.keys(KINDS).join(', ')}.`,
    })
  }
  const [, credentials, hosts = '', path = '', query = ''] =
    /^(?:([^/]*)@)?([^/?]*)([^?]*)(?:\?(.*))?$/s.exec(rest) ?? []
  const options = new URLSearchParams(query)
  const option = (name: Option): string | undefined => options.get(name) ?? undefined
  const [user, password] = splitLogin(scheme, credentials)
  const [first = '', second] = path.replaceAll(/^\/|\/$/g, '').split('/')
  const database = option('db') ?? (kind === 'sentinel' ? second : kind === 'server' ? first : undefined)
  if (!/^\d*$/.test(database ?? '')) throw unreadable(scheme, 'the database is a number')
  return {
    kind,
    nodes: kind === 'socket' ? [] : hosts.split(',').map((host) => parseNode(scheme, host, kind)),
    path: kind === 'socket' ? path : '',
    service: kind === 'sentinel' && first !== '' ? first : 'mymaster',
    database: Number(database ?? 0),
    isTls: scheme.startsWith('rediss'),
    login: makeLogin(option('username') ?? user, option('password') ?? password),
    sentinelLogin: makeLogin(option('sentinel_username'), option('sentinel_password')),
    tls: defined({ ca: option('ssl_ca_certs'), cert: option('ssl_certfile'), key: option('ssl_keyfile') }),
  }
}

function parseNode(scheme: string, text: string, kind: QueueAddress['kind']): QueueNode {
  const [, v6, host = v6, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  if (host === undefined) throw unreadable(scheme, 'a server is `host` or `host:port`')
  return { host, port: Number(port ?? (kind === 'sentinel' ? 26_379 : 6379)) }
}

function splitLogin(scheme: string, credentials: string | undefined): readonly (string | undefined)[] {
  if (credentials === undefined) return []
  const [, user = '', password] = /^([^:]*)(?::(.*))?$/s.exec(credentials) ?? []
  try {
    return [decodeURIComponent(user), password === undefined ? undefined : decodeURIComponent(password)]
  } catch {
    // decodeURIComponent's message would not say more, and must not show the password.
    throw unreadable(scheme, 'user and password are percent-encoded')
  }
}

function makeLogin(username: string | undefined, password: string | undefined): QueueLogin {
  return defined({ username: username === '' ? undefined : username, password })
}

function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

function unreadable(scheme: string, why: string): BuildError {
  return new BuildError('USAGE', `The queue's URL cannot be read: \`${scheme}://...\`: ${why}`)
}
