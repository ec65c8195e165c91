import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

/** Ranges that are not reachable from the public internet (IANA special-purpose registries). */
const SPECIAL_IPV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]

const SPECIAL_IPV6: readonly (readonly [string, number])[] = [
  ['::', 127],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
  ['64:ff9b:1::', 48],
]

const special = new BlockList()
for (const [network, prefix] of SPECIAL_IPV4) special.addSubnet(network, prefix, 'ipv4')
for (const [network, prefix] of SPECIAL_IPV6) special.addSubnet(network, prefix, 'ipv6')

/**
 * Tells whether an IP address belongs to the public internet: not private, loopback, link-local, shared or multicast.
 *
 * IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as the IPv4 address it leads to. No zone, no brackets.
 */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special.check(address, 'ipv4')
  if (!isIPv6(address)) return false
  const inner = embeddedIpv4(address)
  if (inner !== undefined) return isPublicAddress(inner)
  return !special.check(address, 'ipv6')
}

/** Tells whether a host name means this machine without asking DNS: `localhost`, `*.localhost`, 127/8, `::1`. */
export function isLoopbackHost(hostname: string): boolean {
  const name = withoutBrackets(hostname).toLowerCase()
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1') return true
  return isIPv4(name) && name.startsWith('127.')
}

/** A host name as `node:net` wants it: IPv6 without the brackets of a URL. */
export function withoutBrackets(hostname: string): string {
  return hostname.startsWith('[') && hostname.endsWith(']') ? hostname.slice(1, -1) : hostname
}

/** True for an IPv4 or IPv6 address in text, with or without brackets. */
export function isAddress(hostname: string): boolean {
  return isIP(withoutBrackets(hostname)) !== 0
}

function embeddedIpv4(address: string): string | undefined {
  const words = expand(address)
  if (words === undefined) return undefined
  const [a, b, c, d, e, f, g = 0, h = 0] = words
  const low = [g >> 8, g & 255, h >> 8, h & 255].join('.')
  if (a === 0 && b === 0 && c === 0 && d === 0 && e === 0 && f === 0xffff) return low
  if (a === 0x64 && b === 0xff9b && c === 0 && d === 0 && e === 0 && f === 0) return low
  if (a === 0x2002 && b !== undefined && c !== undefined) return [b >> 8, b & 255, c >> 8, c & 255].join('.')
  return undefined
}

/** The eight 16-bit words of an IPv6 address. */
function expand(address: string): number[] | undefined {
  // The URL parser writes the last 32 bits of `::ffff:1.2.3.4` as hex words.
  const canonical = withoutBrackets(new URL(`http://[${address.replace(/%.*$/, '')}]/`).hostname)
  const [head = '', tail] = canonical.split('::')
  const words = (text: string): number[] => (text === '' ? [] : text.split(':').map((word) => parseInt(word, 16)))
  const front = words(head)
  if (tail === undefined) return front.length === 8 ? front : undefined
  const back = words(tail)
  return [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back]
}
