import { once } from 'node:events'
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type ConnectionOptions } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Io } from '../../../src/cli/command.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { freePort } from '../../support/docker-registry.ts'
import { recordIo, type RecordedIo } from '../../support/output.ts'
import { ask, bodyOf, startBackend, type Backend } from '../../support/route-backends.ts'

let folder: string
let stable: Backend
let canary: Backend
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'route-'))
  stable = await startBackend('stable')
  canary = await startBackend('canary')
})
afterEach(async () => {
  await stable.close()
  await canary.close()
  await rm(folder, { recursive: true })
})

/** Runs a router until the end of `use`, which gets its address. */
async function withRouter(
  args: readonly string[],
  use: (url: string, io: RecordedIo) => Promise<void>,
  env: Io['env'] = {},
): Promise<void> {
  const stop = new AbortController()
  const io = recordIo({ cwd: folder, signal: stop.signal, env })
  const done = runCommandLine(['route', '--port', '0', ...args], io)
  try {
    await expect.poll(() => io.stdout.text()).toMatch(/^https?:\S+\n$/)
    await use(io.stdout.text().trim(), io)
  } finally {
    stop.abort()
    expect(await done).toBe(0)
  }
}

/** Replaces a file as editors do. */
async function replace(text: string): Promise<void> {
  await writeFile(join(folder, 'new'), text)
  await rename(join(folder, 'new'), join(folder, 'routes.yaml'))
}

const routes = (weights: readonly [number, number]): string => `versions:
  stable: {url: "${stable.url}", weight: ${weights[0]}}
  canary: {url: "${canary.url}", weight: ${weights[1]}}
`

test('route splits between versions that options name', async () => {
  const split = ['--split', `stable=${stable.url}@1`, '--split', `canary=${canary.url}/@0`, '--mirror', 'canary=100']
  await withRouter([...split, '--sticky-header', 'x-user', '--health-interval', '0s'], async (url) => {
    expect(await ask(`${url}/a`, { method: 'POST', body: 'a' })).toMatchObject({ body: 'stable', version: 'stable' })
    expect((await ask(`${url}/b`, { headers: { 'x-model-version': 'canary' } })).body).toBe('canary')
    await expect.poll(() => canary.seen.map(({ url: path }) => path).toSorted()).toEqual(['/a', '/b'])
  })
})

test('route shares between the servers of a version', async () => {
  await withRouter(['--split', `both=${stable.url},${canary.url}@1`], async (url) => {
    const asked = async (): Promise<Set<string>> =>
      new Set(await Promise.all(Array.from({ length: 20 }, async () => (await ask(url)).body)))
    await expect.poll(asked).toEqual(new Set(['stable', 'canary']))
  })
})

test('route asks servers for their health where it is told to, and says who is left out', async () => {
  const servers = ['--split', `stable=${stable.url}@1`, '--split', `canary=http://127.0.0.1:${await freePort()}@1`]
  const health = ['--health-path', '/readyz', '--health-interval', '0.05s', '--health-timeout', '60s']
  await withRouter([...servers, ...health], async (_, io) => {
    await expect
      .poll(() => io.stderr.text())
      .toMatch(/`canary` at http:\/\/127\.0\.0\.1:\d+\/ is left out: ECONNREFUSED; other versions get its requests/)
    await expect.poll(() => stable.seen.map(({ url: path }) => path)).toContain('/readyz')
  })
})

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url))

/** Shakes hands as a client does. */
async function shakeHands(url: string, options: ConnectionOptions = {}): Promise<{ name: unknown; protocol: unknown }> {
  const ca = await readFile(fixture('ca.crt'))
  const { port, hostname: host } = new URL(url)
  const socket = connect({ port: Number(port), host, ca, checkServerIdentity: () => undefined, ...options })
  try {
    await once(socket, 'secureConnect')
    return { name: socket.getPeerCertificate().subject.CN, protocol: socket.getProtocol() }
  } finally {
    socket.destroy()
  }
}

/** Puts a certificate and a key into the folder, the certificate first, as renewals do. */
async function renew(cert: string, key = cert): Promise<void> {
  await copyFile(fixture(`${cert}.crt`), join(folder, 'tls.crt'))
  await copyFile(fixture(`${key}.key`), join(folder, 'tls.key'))
}

const TLS = ['--tls-cert', 'tls.crt', '--tls-key', 'tls.key']

test('route speaks HTTPS of TLS 1.2 and later, and says so to versions', async () => {
  await renew('server')
  await withRouter(['--split', `stable=${stable.url}@1`, '--health-interval', '0s', ...TLS], async (url) => {
    expect(url).toMatch(/^https:/)
    const outgoing = request(`${url}/predictions`, { ca: await readFile(fixture('ca.crt')), method: 'POST' }).end('a')
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    expect(await bodyOf(answer)).toBe('stable')
    expect(stable.seen[0]).toMatchObject({ body: 'a', headers: { 'x-forwarded-proto': 'https' } })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      expect(await shakeHands(url, { minVersion: version, maxVersion: version })).toMatchObject({ protocol: version })
    const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }
    await expect(shakeHands(url, old)).rejects.toThrow(/alert protocol version/)
  })
})

test('route takes a renewed certificate while requests run, and stays with the old one while the new one is wrong', async () => {
  await renew('server')
  await withRouter(['--split', `stable=${stable.url}@1`, ...TLS], async (url, io) => {
    const agent = new Agent({ keepAlive: true, ca: await readFile(fixture('ca.crt')) })
    const kept = async (): Promise<number | undefined> => {
      const [answer] = (await once(request(url, { agent }).end(), 'response')) as [IncomingMessage]
      await bodyOf(answer)
      return answer.statusCode
    }
    expect(await kept()).toBe(200)
    await renew('client', 'ca')
    await expect
      .poll(() => io.stderr.text())
      .toContain('The certificate stays as it is: The key is not that of the cert')
    expect(await shakeHands(url)).toMatchObject({ name: 'server' })
    await renew('client')
    await expect.poll(() => shakeHands(url)).toMatchObject({ name: 'client' })
    expect(io.stderr.text()).toContain('Read again: `tls.crt`, which ends on 2126-10-30')
    expect(await kept()).toBe(200)
    agent.destroy()
  })
})

test.each(['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'])(
  'route trusts servers of HTTPS by the authorities that %s names, for checks as well',
  async (variable) => {
    const [key, cert] = await Promise.all([readFile(fixture('server.key')), readFile(fixture('server.crt'))])
    const secure = createServer({ key, cert }, (_, response) => void response.end('secure')).listen(0, '127.0.0.1')
    await once(secure, 'listening')
    const server = `https://localhost:${(secure.address() as AddressInfo).port}`
    const args = ['--split', `a=${server}@1`, '--health-interval', '0.05s', '--health-timeout', '60s']
    try {
      await withRouter(
        args,
        async (url, io) => {
          const passed = /layerwright_route_checks_total\{version="a",server="[^"]+",result="passed"\} [1-9]/
          await expect.poll(async () => (await ask(`${url}/route/metrics`)).body).toMatch(passed)
          expect(await ask(url, { method: 'POST', body: 'a' })).toMatchObject({ status: 200, body: 'secure' })
          expect(io.stderr.text()).not.toContain('left out')
        },
        { [variable]: fixture('ca.crt') },
      )
      await withRouter(args, async (url, io) => {
        await expect.poll(() => io.stderr.text()).toContain('is left out: UNABLE_TO_VERIFY_LEAF_SIGNATURE')
        const { status, body } = await ask(url, { method: 'POST', body: 'a' })
        expect({ status, body }).toEqual({
          status: 503,
          body: '{"detail":"No version could be reached: a (UNABLE_TO_VERIFY_LEAF_SIGNATURE)"}',
        })
      })
    } finally {
      secure.closeAllConnections()
      secure.close()
    }
  },
)

test('route reads authorities again with its file, for servers that it has already, and keeps them when that fails', async () => {
  const [key, cert] = await Promise.all([readFile(fixture('server.key')), readFile(fixture('server.crt'))])
  const secure = createServer({ key, cert }, (_, response) => void response.end('secure')).listen(0, '127.0.0.1')
  await once(secure, 'listening')
  const authorities = join(folder, 'authorities.pem')
  // Trusted by somebody else: a certificate, but not the one that signed the server's.
  await copyFile(fixture('server.crt'), authorities)
  const table = (name: string): string =>
    `# ${name}\nhealth: {interval_seconds: 0}\nversions:\n  a: {url: "https://localhost:${(secure.address() as AddressInfo).port}", weight: 1}\n`
  await replace(table('first'))
  try {
    await withRouter(
      ['routes.yaml'],
      async (url, io) => {
        expect((await ask(url)).status).toBe(503)
        await copyFile(fixture('ca.crt'), authorities)
        await replace(table('second'))
        await expect.poll(() => ask(url)).toMatchObject({ status: 200, body: 'secure' })
        await copyFile(fixture('ca.key'), authorities)
        await replace(table('third'))
        await expect.poll(() => io.stderr.text()).toContain('The routes stay as they are: The file that SSL_CERT_FILE')
        expect((await ask(url)).status).toBe(200)
      },
      { SSL_CERT_FILE: authorities },
    )
  } finally {
    secure.closeAllConnections()
    secure.close()
  }
})

test('route refuses a file of authorities that cannot be read, and one that is needed from then on', async () => {
  const env = { SSL_CERT_FILE: join(folder, 'absent') }
  const io = recordIo({ cwd: folder, env })
  expect(await runCommandLine(['route', '--split', 'a=https://h@1', '--port', '0'], io)).toBe(1)
  expect(io.stderr.text()).toContain('error[FILE_UNREADABLE]: The file that SSL_CERT_FILE names cannot be read')
  await replace(routes([1, 0]))
  await withRouter(
    ['routes.yaml'],
    async (url, own) => {
      await replace(routes([0, 1]).replace(stable.url, 'https://h'))
      await expect
        .poll(() => own.stderr.text())
        .toContain('The routes stay as they are: The file that SSL_CERT_FILE names cannot be read')
      expect((await ask(url)).body).toBe('stable')
    },
    env,
  )
})

test.each([
  [['--tls-cert', 'tls.crt'], 2, 'HTTPS needs both --tls-cert and --tls-key'],
  [['--tls-cert', 'absent', '--tls-key', 'tls.key'], 1, 'error[FILE_UNREADABLE]: Cannot read `absent`'],
  [['--tls-cert', 'tls.crt', '--tls-key', 'ca.key'], 2, 'error[INPUT_INVALID]: The key is not that of the certificate'],
])('route refuses %j', async (args, status, message) => {
  await renew('server')
  await copyFile(fixture('ca.key'), join(folder, 'ca.key'))
  const io = recordIo({ cwd: folder })
  expect(await runCommandLine(['route', '--split', 'a=http://h@1', ...args], io)).toBe(status)
  expect(io.stderr.text()).toContain(message)
})

test('route reads its file again when it changes, and keeps what it has when the file is wrong', async () => {
  await replace(routes([1, 0]))
  await withRouter(['routes.yaml'], async (url, io) => {
    expect((await ask(url)).body).toBe('stable')
    await replace(routes([0, 1]))
    await expect.poll(async () => (await ask(url)).body).toBe('canary')
    await replace('versions: {}\n')
    await expect.poll(() => io.stderr.text()).toContain('routes.yaml:1:1: No version has a weight above 0')
    expect((await ask(url)).body).toBe('canary')
    await replace(routes([1, 0]))
    await expect.poll(async () => (await ask(url)).body).toBe('stable')
    expect((await ask(`${url}/route/metrics`)).body).toMatch(/reloads_total\{result="refused"\} [1-9]/)
  })
})

test.each([
  [[], 'There are no versions to route to'],
  [['--split', 'stable=90'], 'Not a version with its address and weight: `stable=90`'],
  [['--split', 'a=ftp://h@1'], 'A server is reached by http or https'],
  [['--split', 'a=http://h@0'], 'No version has a weight above 0'],
  [['--split', 'a=http://h@1', '--split', 'a=http://i@1'], '--split names a version twice: `a`'],
  [['--split', '-a=http://h@1', '--mirror', 'b=200'], 'A version has a name of up to 63 letters'],
  [['--split', 'a=http://h@1', '--mirror', 'b=10'], 'There is no such version: `mirror.to`'],
  [['--split', 'a=http://h@1', '--mirror', 'b'], 'Not a version with a share: `b`'],
  [['--split', 'a=http://h@1', '--sticky-header', 'x', '--sticky-cookie', 'y'], 'Give either --sticky-header'],
  [['--split', 'a=http://h@1', '--port', 'x'], 'Not a port: `x`'],
  [['routes.yaml', '--mirror', 'a=1'], 'Routes come from a file or from options'],
  [['routes.yaml', '--health-interval', '0s'], 'Routes come from a file or from options'],
  [['--split', 'a=http://h,h@1'], 'This is no address; one looks like http://127.0.0.1:5000: `versions.a.urls.1`'],
  [['--split', 'a=http://h,http://h@1'], 'An address stands twice: http://h/'],
  [['--split', 'a=http://h@1', '--health-interval', '5'], 'Not a length of time: `5`'],
  [['--split', 'a=http://h@1', '--health-interval', '2h'], 'An interval is 0.05 to 3600 seconds'],
  [['--split', 'a=http://h@1', '--health-path', 'x'], 'A path begins with `/`'],
])('route refuses %j', async (args, message) => {
  const io = recordIo({ cwd: folder })
  expect(await runCommandLine(['route', ...args], io)).toBe(2)
  expect(io.stderr.text()).toContain(message)
})

test('route tells every problem of its file with its place', async () => {
  await replace('versions:\n  a: {url: nowhere, weight: -1}\nstickey: {header: a}\n')
  const io = recordIo({ cwd: folder })
  expect(await runCommandLine(['route', 'routes.yaml'], io)).toBe(2)
  for (const place of ['routes.yaml:2:12', 'routes.yaml:2:29', 'routes.yaml:3:1'])
    expect(io.stderr.text()).toContain(place)
})
