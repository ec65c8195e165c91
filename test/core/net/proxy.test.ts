import { expect, test } from 'vitest'
import { proxyFor } from '../../../src/core/net/proxy.ts'

const proxyOf = (url: string, env: Record<string, string>): string | undefined => proxyFor(new URL(url), env)?.url.href

const both = { http_proxy: 'http://plain:1', https_proxy: 'http://secure:2' }

test.each([
  ['http://a.io', both, 'http://plain:1/'],
  ['https://a.io', both, 'http://secure:2/'],
  ['https://a.io', { HTTPS_PROXY: 'proxy:3' }, 'http://proxy:3/'],
  ['https://a.io', { https_proxy: 'http://lower', HTTPS_PROXY: 'http://upper' }, 'http://lower/'],
  ['https://a.io', { all_proxy: 'http://all' }, 'http://all/'],
  ['https://a.io', { http_proxy: 'http://plain:1' }, undefined],
  ['http://a.io', { HTTP_PROXY: 'http://evil', REQUEST_METHOD: 'GET' }, undefined],
  ['https://localhost', both, undefined],
  ['https://127.0.0.1:5000', both, undefined],
  ['https://[::1]', both, undefined],
])('proxyFor() %s with %j', (url, env, expected) => expect(proxyOf(url, env as Record<string, string>)).toBe(expected))

test.each([
  ['*', 'https://a.io', true],
  ['a.io', 'https://a.io', true],
  ['a.io', 'https://b.a.io', true],
  ['a.io', 'https://ba.io', false],
  ['.a.io', 'https://b.a.io', true],
  ['.a.io', 'https://a.io', false],
  ['*.a.io', 'https://b.a.io', true],
  ['x,a.io:5000', 'https://a.io:5000', true],
  ['a.io:5000', 'https://a.io', false],
  ['a.io:443', 'https://a.io', true],
  ['10.0.0.0/8', 'https://10.1.2.3', true],
  ['10.0.0.0/8', 'https://11.1.2.3', false],
  ['10.0.0.0/99', 'https://10.1.2.3', false],
  ['fd00::/8', 'https://[fd12::1]', true],
  ['10.1.2.3', 'https://10.1.2.3', true],
  [' a.io , b.io ', 'https://b.io', true],
  ['', 'https://a.io', false],
])('NO_PROXY %s for %s: %s', (list, url, isDirect) => {
  expect(proxyOf(url, { ...both, no_proxy: list }) === undefined).toBe(isDirect)
})

test('proxyFor() gives the proxy’s user as Basic, and not in the address that is shown', () => {
  const proxy = proxyFor(new URL('https://a.io'), { https_proxy: 'http://me:p%40ss@proxy:8080' })
  expect(proxy?.authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
  expect(proxy?.url.host).toBe('proxy:8080')
})

test.each([
  ['socks5://proxy:1080', 'NOT_SUPPORTED'],
  ['http://', 'CONFIG_INVALID'],
])('proxyFor() refuses %s', (value, code) => {
  expect(() => proxyOf('https://a.io', { https_proxy: value })).toThrow(expect.objectContaining({ code }))
})
