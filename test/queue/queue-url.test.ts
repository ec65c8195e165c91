import { expect, test } from 'vitest'
import { BuildError } from '../../src/core/errors.ts'
import { parseQueueUrl } from '../../src/queue/queue-url.ts'

test.each([
  [
    'redis://localhost',
    { kind: 'server', nodes: [{ host: 'localhost', port: 6379 }], database: 0, isTls: false, login: {} },
  ],
  [
    'redis://u:p%40%3A@h:7/3',
    { nodes: [{ host: 'h', port: 7 }], database: 3, login: { username: 'u', password: 'p@:' } },
  ],
  ['redis://:p@h', { login: { password: 'p' } }],
  ['redis://h?db=4&socket_timeout=3', { database: 4 }],
  ['redis://[::1]:7', { nodes: [{ host: '::1', port: 7 }] }],
  [
    'rediss://h?ssl_ca_certs=/a&ssl_certfile=/b&ssl_keyfile=/c',
    { isTls: true, tls: { ca: '/a', cert: '/b', key: '/c' } },
  ],
  ['unix:///run/redis.sock', { kind: 'socket', path: '/run/redis.sock', nodes: [] }],
  [
    'unix://u:p@/run/redis.sock?db=2',
    { path: '/run/redis.sock', database: 2, login: { username: 'u', password: 'p' } },
  ],
  [
    'redis+cluster://a:1,b:2',
    {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    },
  ],
  [
    'rediss+sentinel://:pw@a,b:2/main/1?sentinel_username=s&sentinel_password=t',
    {
      kind: 'sentinel',
      isTls: true,
      nodes: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 2 },
      ],
      service: 'main',
      database: 1,
      login: { password: 'pw' },
      sentinelLogin: { username: 's', password: 't' },
    },
  ],
  ['redis+sentinel://a', { service: 'mymaster', database: 0 }],
])('parseQueueUrl() reads %s', (url, expected) => {
  expect(parseQueueUrl(url)).toMatchObject(expected)
})

test.each([
  'http://u:hunter2@h',
  'u:hunter2@h',
  'hunter2:6379',
  'redis://u:hunter2@h:port',
  'redis://:hunter2@h/x',
  'redis+sentinel://:hunter2@,b',
  'redis://u:hunter2%zz@h',
])('parseQueueUrl() refuses %s, and does not repeat it', (url) => {
  const error = (() => {
    try {
      return parseQueueUrl(url)
    } catch (caught) {
      return caught
    }
  })()
  expect(error).toBeInstanceOf(BuildError)
  expect(error).toMatchObject({ code: 'USAGE' })
  expect(String(error)).not.toContain('hunter2')
})
