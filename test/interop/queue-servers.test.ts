import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { hasCommand, mustRun, runCommand } from '../support/command.ts'
import { freePort, makeCertificates, redisSays, RedisServers } from '../support/redis-servers.ts'

// `layerwright queue` against each kind of Redis that its URLs can name; the worker's side is
// python/tests/test_queue_servers.py.

const root = path.join(import.meta.dirname, '..', '..')
let isHere: boolean
let folder: string
let servers: RedisServers
beforeAll(async () => {
  isHere = (await hasCommand('redis-server')) && (await hasCommand('openssl'))
})
beforeEach(async ({ skip }) => {
  skip(!isHere, 'redis-server or openssl is not installed')
  folder = await mkdtemp(path.join(tmpdir(), 'queue-servers-'))
  servers = new RedisServers(folder)
})
afterEach(async () => {
  await servers.close()
  await rm(folder, { recursive: true, force: true })
})

const queue = (url: string, ...args: readonly string[]) =>
  runCommand(process.execPath, [path.join(root, 'bin/layerwright.mjs'), 'queue', ...args], {
    env: { LAYERWRIGHT_QUEUE: url },
  })

/** Everything that a person does with a queue. */
async function expectQueue(url: string, stream = 'jobs'): Promise<void> {
  const named = ['--queue', stream]
  expect(await queue(url, 'submit', ...named, '--id', 'one', '-i', 'text=a')).toMatchObject({
    stdout: 'one\n',
    stderr: '',
  })
  expect(JSON.parse((await queue(url, 'status', ...named, 'one')).stdout)).toMatchObject({
    id: 'one',
    status: 'starting',
  })
  expect(await queue(url, 'cancel', ...named, 'one')).toMatchObject({ status: 0, stderr: '' })
  expect(await queue(url, 'dead', 'list', ...named)).toMatchObject({ status: 0, stdout: '' })
  expect(await queue(url, 'dead', 'retry', '--all', ...named)).toMatchObject({ status: 0, stdout: '0\n' })
}

const tlsSettings = ({ ca, cert, key }: { ca: string; cert: string; key: string }) => ({
  'tls-cert-file': cert,
  'tls-key-file': key,
  'tls-ca-cert-file': ca,
})

test('TLS with a private authority and a user; a client certificate where it is asked for', async () => {
  const files = await makeCertificates(folder)
  const [port, strict] = [await freePort(), await freePort()]
  const common = { port: 0, save: '""', ...tlsSettings(files) }
  await servers.start({ ...common, 'tls-port': port, 'tls-auth-clients': 'no', user: 'jane on >pa:ss@word ~* +@all' })
  await servers.start({ ...common, 'tls-port': strict, 'tls-auth-clients': 'yes' })
  const cli = ['--tls', '--cacert', files.ca, '--cert', files.cert, '--key', files.key]
  for (const one of [port, strict]) await redisSays('PONG', [...cli, '-p', one, 'ping'])

  await expectQueue(`rediss://jane:pa%3Ass%40word@127.0.0.1:${port}/0?ssl_ca_certs=${files.ca}`)
  await expectQueue(
    `rediss://127.0.0.1:${strict}?ssl_ca_certs=${files.ca}&ssl_certfile=${files.cert}&ssl_keyfile=${files.key}`,
  )

  const refused = await queue(`rediss://jane:pa%3Ass%40word@127.0.0.1:${port}/0`, 'dead', 'list')
  expect(refused).toMatchObject({ status: 5, stderr: expect.stringContaining('hint: Name the authority') as string })
  expect(refused.stderr).not.toMatch(/ss.{1,3}word/)
  const wrong = await queue(`rediss://jane:hunter2@127.0.0.1:${port}/0?ssl_ca_certs=${files.ca}`, 'dead', 'list')
  expect(wrong.stderr).toContain('hint: Check user and password')
  expect(wrong.stderr).not.toContain('hunter2')
  const lost = await queue(`rediss://127.0.0.1:${port}?ssl_ca_certs=${folder}/none.pem`, 'dead', 'list')
  expect(lost).toMatchObject({ status: 2, stderr: expect.stringContaining('none.pem') as string })
})

test(
  'sentinels over TLS with a password of their own name the server, and its successor',
  { timeout: 300_000 },
  async () => {
    const files = await makeCertificates(folder)
    const [first, second, sentinel] = [await freePort(), await freePort(), await freePort()]
    const tls = { port: 0, 'tls-replication': 'yes', 'tls-auth-clients': 'no', ...tlsSettings(files) }
    const common = { ...tls, save: '""', requirepass: 'pw', masterauth: 'pw' }
    const cli = (port: number, password: string) => [
      '--tls',
      '--cacert',
      files.ca,
      '--no-auth-warning',
      '-a',
      password,
      '-p',
      port,
    ]
    const primary = await servers.start({ ...common, 'tls-port': first })
    await redisSays('PONG', [...cli(first, 'pw'), 'ping'])
    await servers.start({ ...common, 'tls-port': second, replicaof: `127.0.0.1 ${first}` })
    await redisSays('master_link_status:up', [...cli(second, 'pw'), 'info', 'replication'])
    await servers.start(
      {
        ...tls,
        'tls-port': sentinel,
        requirepass: 'watch',
        'sentinel monitor': `main 127.0.0.1 ${first} 1`,
        'sentinel auth-pass': 'main pw',
        'sentinel down-after-milliseconds': 'main 6000',
        'sentinel failover-timeout': 'main 6000',
      },
      '--sentinel',
    )
    await redisSays(`${second}`, [...cli(sentinel, 'watch'), 'sentinel', 'replicas', 'main'])

    const url = `rediss+sentinel://:pw@127.0.0.1:${sentinel}/main/0?sentinel_password=watch&ssl_ca_certs=${files.ca}`
    await expectQueue(url)
    await redisSays('1', [...cli(first, 'pw'), 'wait', 1, 60_000])
    await servers.kill(primary)
    await redisSays(`${second}`, [...cli(sentinel, 'watch'), 'sentinel', 'get-master-addr-by-name', 'main'])
    await redisSays('role:master', [...cli(second, 'pw'), 'info', 'replication'])
    expect(JSON.parse((await queue(url, 'status', '--queue', 'jobs', 'one')).stdout)).toMatchObject({ id: 'one' })
    expect(await queue(url, 'submit', '--queue', 'jobs', '--id', 'two')).toMatchObject({ stdout: 'two\n', stderr: '' })

    const refused = await queue(url.replace('=watch', '=hunter2'), 'dead', 'list')
    expect(refused.status).not.toBe(0)
    expect(refused.stderr).not.toContain('hunter2')
    expect(refused.stderr).toContain(`main of sentinels 127.0.0.1:${sentinel}`)
  },
)

test("a cluster with a password, and a hash tag in the stream's name", { timeout: 300_000 }, async () => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const nodes = []
  for (const port of ports) {
    const bus = await freePort()
    const settings = { port, save: '""', requirepass: 'pw', 'cluster-enabled': 'yes', 'cluster-port': bus }
    nodes.push({ port, bus })
    await servers.start(settings)
    await redisSays('PONG', ['--no-auth-warning', '-a', 'pw', '-p', port, 'ping'])
  }
  const slots = [0, 5461, 10_923, 16_384]
  const cli = (port: number, ...args: readonly (string | number)[]) => [
    '--no-auth-warning',
    '-a',
    'pw',
    '-p',
    port,
    ...args,
  ]
  for (const [index, { port, bus }] of nodes.entries()) {
    await redisSays('OK', cli(port, 'cluster', 'addslotsrange', slots[index] ?? 0, (slots[index + 1] ?? 0) - 1))
    await redisSays('OK', cli(ports[0] ?? 0, 'cluster', 'meet', '127.0.0.1', port, bus))
  }
  for (const port of ports) await redisSays('cluster_state:ok', cli(port, 'cluster', 'info'))

  for (const stream of ['{jobs}', '{others}', 'a{third}b']) {
    await expectQueue(`redis+cluster://:pw@127.0.0.1:${ports[1]}`, stream)
  }
  const plain = await queue(`redis+cluster://:pw@127.0.0.1:${ports[0]}`, 'dead', 'list', '--queue', 'jobs')
  expect(plain).toMatchObject({ status: 2, stderr: expect.stringContaining('hash tag') as string })
})

test('a socket, and a server that is not there', async () => {
  const socket = path.join(folder, 's')
  await servers.start({ port: 0, unixsocket: socket, save: '""' })
  await redisSays('PONG', ['-s', socket, 'ping'])
  await expectQueue(`unix://${socket}`)
  const lost = await queue(`redis://127.0.0.1:${await freePort()}/0`, 'dead', 'list')
  expect(lost).toMatchObject({ status: 75, stderr: expect.stringMatching(/does not answer[^]*hint: /) as string })
  await mustRun('redis-cli', ['-s', socket, 'shutdown', 'nosave'])
})
