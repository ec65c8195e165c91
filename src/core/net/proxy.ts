import { BlockList, isIP } from 'node:net'
import { decodePercent } from '../percent.ts'
import { BuildError } from '../errors.ts'
import { isLoopbackHost, withoutBrackets } from './addresses.ts'

/** The part of the environment that a function reads. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A proxy that carries requests to one origin. */
export interface Proxy {
  readonly url: URL
  /** Value of `Proxy-Authorization`, when the proxy's address holds a user. */
  readonly authorization: string | undefined
}

/**
 * The proxy for a URL by the usual variables, lower case before upper case: `https_proxy`, `http_proxy`, `all_proxy`,
 * and `no_proxy` against them. This machine itself is never reached through a proxy (as in Go's net/http).
 *
 * `HTTP_PROXY` in upper case is ignored inside a CGI program, where a client can set it (httpoxy).
 *
 * @throws BuildError NOT_SUPPORTED for a SOCKS proxy, CONFIG_INVALID when the variable holds no URL
 */
export function proxyFor(url: URL, env: Environment): Proxy | undefined {
  if (isLoopbackHost(url.hostname)) return undefined
  const upper = (name: string): string | undefined =>
    name === 'HTTP_PROXY' && env['REQUEST_METHOD'] !== undefined ? undefined : env[name]
  const pick = (name: string): string | undefined => env[name] || upper(name.toUpperCase()) || undefined
  const value = pick(url.protocol === 'https:' ? 'https_proxy' : 'http_proxy') ?? pick('all_proxy')
  if (value === undefined) return undefined
  if (bypasses(url, pick('no_proxy') ?? '')) return undefined
  return parseProxy(value)
}

function parseProxy(value: string): Proxy {
  const text = value.includes('://') ? value : `http://${value}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.hostname === '')
    throw new BuildError('CONFIG_INVALID', 'The proxy variable (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) holds no URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new BuildError('NOT_SUPPORTED', `Proxies of this kind are not supported: \`${url.protocol}//${url.host}\``, {
      hint: 'Use an http:// or https:// proxy, or list the host in NO_PROXY.',
    })
  const user = `${decodePercent(url.username)}:${decodePercent(url.password)}`
  const authorization = url.username === '' ? undefined : `Basic ${Buffer.from(user).toString('base64')}`
  return { url, authorization }
}

/** `NO_PROXY`: `*`, host names (with their subdomains), `.suffix`, `*.suffix`, addresses, CIDR blocks; each with `:port`. */
function bypasses(url: URL, noProxy: string): boolean {
  const host = withoutBrackets(url.hostname).toLowerCase()
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => entry === '*' || matches(entry.toLowerCase(), host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry.includes('/')) return inBlock(entry, host)
  const withPort = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry)
  if (withPort !== null && withPort[2] !== port) return false
  const name = withoutBrackets(withPort?.[1] ?? entry)
  if (isIP(name) !== 0 || isIP(host) !== 0) return name === host
  if (name.startsWith('*.') || name.startsWith('.')) return host.endsWith(name.replace(/^\*/, ''))
  return host === name || host.endsWith(`.${name}`)
}

function inBlock(entry: string, host: string): boolean {
  const [network = '', prefix = ''] = entry.split('/')
  const family = isIP(network)
  if (family === 0 || family !== isIP(host) || !/^\d+$/.test(prefix)) return false
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false
  const list = new BlockList()
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  list.addSubnet(network, Number(prefix), kind)
  return list.check(host, kind)
}
