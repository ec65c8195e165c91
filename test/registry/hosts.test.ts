import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadHosts } from '../../registry/host-files.ts'
import type { HostConfiguration } from '../../registry/hosts.ts'
import { Registries } from '../../registry/registries.ts'
import { copyImage, openDestination, openImage } from '../../src/destinations/index.ts'
import { sampleImage } from '../support/sample-image.ts'
import { startFaultRegistry, type FaultRegistry, type FaultRegistryOptions } from '../support/fault-registry.ts'

let folder: string
const closing: FaultRegistry[] = []
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'hosts-'))))
afterEach(async () => {
  for (const registry of closing.splice(0)) await registry.close()
  await rm(folder, { recursive: true, force: true })
})

/** Writes files below a stand-in for the machine: `etc/...` and `home/...`. */
async function load(files: Readonly<Record<string, string>>, insecure?: boolean): Promise<HostConfiguration> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return loadHosts({ env: {}, home: join(folder, 'home'), systemFolder: join(folder, 'etc'), insecure })
}

async function start(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const registry = await startFaultRegistry(options)
  closing.push(registry)
  return registry
}

const pem = (name: string): Promise<string> => readFile(new URL(`../../fixtures/tls/${name}`, import.meta.url), 'utf8')

describe('registries.conf', () => {
  const CONF = 'etc/containers/registries.conf'

  test('mirrors come with their repository, in order', async () => {
    const hosts = await load({
      [CONF]: `
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        prefix = "docker.io"
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.local:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "second.local"
        pull-from-mirror = "digest-only"`,
    })
    const { mirrors, blocked } = hosts.settings('docker.io', 'library/ubuntu')
    expect(blocked).toBe(false)
    expect(mirrors.map(({ host, insecure, resolvesTags }) => [host, insecure, resolvesTags])).toEqual([
      ['mirror.local:5000', true, true],
      ['second.local', false, false],
    ])
    expect(mirrors.map(({ repository }) => repository('library/ubuntu'))).toEqual([
      'hub/library/ubuntu',
      'library/ubuntu',
    ])
    expect(hosts.settings('quay.io', 'a/b').mirrors).toEqual([])
  })

  test('the longest prefix counts, and may move or block a part of a registry', async () => {
    const hosts = await load({
      [CONF]: `
        [[registry]]
        prefix = "r.io"
        location = "inner.local/all"
        [[registry]]
        prefix = "r.io/secret"
        blocked = true
        [[registry]]
        prefix = "*.example.com"
        location = "gate.local/example"`,
    })
    expect(hosts.settings('r.io', 'secret/a').blocked).toBe(true)
    const { location } = hosts.settings('r.io', 'secrets/a')
    expect([location?.host, location?.repository('secrets/a')]).toEqual(['inner.local', 'all/secrets/a'])
    const wild = hosts.settings('eu.example.com', 'x').location
    expect([wild?.host, wild?.repository('x')]).toEqual(['gate.local', 'example/x'])
  })

  test('the home’s file is read instead of the machine’s, and drop-ins after both', async () => {
    const rule = (prefix: string, location: string): string =>
      `[[registry]]\nprefix="${prefix}"\nlocation="${location}"\n`
    const hosts = await load({
      [CONF]: rule('a.io', 'system'),
      'home/.config/containers/registries.conf': rule('b.io', 'home.io'),
      'etc/containers/registries.conf.d/10.conf': rule('c.io', 'drop.io'),
    })
    expect(hosts.settings('a.io', 'x').location).toBeUndefined()
    expect(hosts.settings('b.io', 'x').location?.host).toBe('home.io')
    expect(hosts.settings('c.io', 'x').location?.host).toBe('drop.io')
  })

  test.each([
    ['registry = ', /not valid TOML/],
    ['[registry.search]\nregistries = ["a"]', /version 1/],
    ['[[registry]]\ninsecure = true', /without prefix/],
  ])('a wrong file is named: %s', async (text, message) => {
    const hosts = await load({ [CONF]: text })
    expect(() => hosts.settings('a.io', 'x')).toThrow(message)
  })

  test('a blocked registry is not asked', async () => {
    const hosts = await load({ [CONF]: '[[registry]]\nprefix="a.io"\nblocked=true' })
    const registries = new Registries({ env: {}, hosts })
    expect(() => registries.client({ registry: 'a.io', repository: 'x' }, { actions: 'pull' })).toThrow(
      expect.objectContaining({ code: 'NETWORK_REFUSED' }),
    )
  })
})

describe('hosts.toml', () => {
  test('hosts with their abilities are mirrors, server is the registry', async () => {
    const hosts = await load({
      'etc/containerd/certs.d/docker.io/hosts.toml': `
        server = "https://hub.inner"
        [host."http://mirror.local:5000"]
        capabilities = ["pull", "resolve"]
        [host."https://proxy.local/cache"]
        capabilities = ["pull"]
        [host."https://proxy.local/v2/hub"]
        override_path = true
        [host."https://proxy.local/v2/hub".header]
        x-key = ["a"]
        [host."https://push.local"]
        capabilities = ["push"]`,
    })
    const { mirrors, location } = hosts.settings('docker.io', 'library/ubuntu')
    expect(location?.host).toBe('hub.inner')
    expect(
      mirrors.map(({ host, scheme, path, resolvesTags, query }) => [host, scheme, path, resolvesTags, query]),
    ).toEqual([
      ['mirror.local:5000', 'http', undefined, true, 'ns=docker.io'],
      ['proxy.local', 'https', '/cache/v2', false, 'ns=docker.io'],
      ['proxy.local', 'https', '/v2/hub', true, 'ns=docker.io'],
    ])
    expect(mirrors[2]?.headers).toEqual({ 'x-key': 'a' })
  })

  test('registries.conf goes before it', async () => {
    const hosts = await load({
      'etc/containers/registries.conf': '[[registry]]\nlocation="a.io"\n[[registry.mirror]]\nlocation="one"',
      'etc/containerd/certs.d/a.io/hosts.toml': '[host."https://two"]',
    })
    expect(hosts.settings('a.io', 'x').mirrors.map(({ host }) => host)).toEqual(['one'])
  })

  test('its certificates are trusted for its host alone', async () => {
    const hosts = await load({
      'etc/containerd/certs.d/a.io/hosts.toml': `[host."https://m.io"]\nca = "ca.crt"\nclient = [["c.crt", "c.key"]]`,
      'etc/containerd/certs.d/a.io/ca.crt': 'CA',
      'etc/containerd/certs.d/a.io/c.crt': 'CERT',
      'etc/containerd/certs.d/a.io/c.key': 'KEY',
    })
    hosts.settings('a.io', 'x')
    expect(hosts.tls('m.io')).toEqual({ ca: ['CA'], cert: 'CERT', key: 'KEY', insecure: false })
    expect(hosts.tls('a.io')).toBeUndefined()
  })
})

describe('daemon.json', () => {
  const mirrors = (...urls: readonly string[]): string => JSON.stringify({ 'registry-mirrors': urls })
  const MACHINE = 'etc/docker/daemon.json'

  test('its mirrors are of Docker Hub alone, in order, and may be insecure', async () => {
    const file = {
      'registry-mirrors': ['https://one.local', 'http://two.local:5000/', 'https://three.local:8443'],
      'insecure-registries': ['three.local:8443', 'plain.local:5000', '10.0.0.0/8'],
    }
    const hosts = await load({ [MACHINE]: JSON.stringify(file) })
    const hub = hosts.settings('docker.io', 'library/ubuntu')
    expect(
      hub.mirrors.map(({ host, scheme, insecure, resolvesTags }) => [host, scheme, insecure, resolvesTags]),
    ).toEqual([
      ['one.local', 'https', false, true],
      ['two.local:5000', 'http', false, true],
      ['three.local:8443', 'https', true, true],
    ])
    expect(hub).toMatchObject({ insecure: false, origins: [join(folder, MACHINE)] })
    expect(hosts.tls('three.local:8443')).toMatchObject({ insecure: true })
    expect(hosts.tls('one.local')).toBeUndefined()
    expect(hosts.settings('plain.local:5000', 'x')).toMatchObject({ insecure: true, mirrors: [] })
    expect(hosts.tls('plain.local:5000')).toMatchObject({ insecure: true })
    expect(hosts.settings('quay.io', 'x')).toMatchObject({ insecure: false, mirrors: [], origins: [] })
  })

  test('the first that says something counts: without root, Docker Desktop, the machine', async () => {
    const hosts = await load({
      'home/.config/docker/daemon.json': '{"debug": true}',
      'home/.docker/daemon.json': mirrors('https://desktop.local'),
      [MACHINE]: mirrors('https://machine.local'),
    })
    expect(hosts.settings('docker.io', 'a').mirrors.map(({ host }) => host)).toEqual(['desktop.local'])
  })

  test('registries.conf and hosts.toml go before it', async () => {
    const [toml, conf] = ['etc/containerd/certs.d/docker.io/hosts.toml', 'etc/containers/registries.conf']
    const files = { [MACHINE]: mirrors('https://docker.local'), [toml]: '[host."https://toml.local"]' }
    const hostsOf = async (more: Record<string, string>): Promise<unknown> =>
      (await load(more)).settings('docker.io', 'a').mirrors.map(({ host }) => host)
    expect(await hostsOf(files)).toEqual(['toml.local'])
    const rule = '[[registry]]\nlocation="docker.io"\n[[registry.mirror]]\nlocation="conf.local"'
    expect(await hostsOf({ ...files, [conf]: rule })).toEqual(['conf.local'])
  })

  test.each(['', '  \n', '\uFEFF{}', '{"registry-mirrors": null}'])('one without a word is none: %j', async (text) => {
    expect((await load({ [MACHINE]: text })).settings('docker.io', 'a').mirrors).toEqual([])
  })

  test.each([
    ['{"registry-mirrors": [', 'not valid JSON'],
    ['[]', 'not a JSON object'],
    ['{"registry-mirrors": "https://a"}', '`registry-mirrors` is not a list'],
    ['{"insecure-registries": [1]}', '`insecure-registries` is not a list'],
    [mirrors('mirror.local'), 'not `https://HOST`'],
    [mirrors('https://mirror.local/path'), 'not `https://HOST`'],
    [mirrors('https://me:secret@mirror.local'), 'not `https://HOST`'],
    [mirrors('ftp://mirror.local'), 'not `https://HOST`'],
  ])('a wrong file is named, and no secret: %s', async (text, message) => {
    const hosts = await load({ [MACHINE]: text })
    const read = (): unknown => hosts.settings('docker.io', 'x')
    expect(read).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    expect(read).toThrow(message)
    expect(read).toThrow(join(folder, MACHINE))
    expect(read).not.toThrow('secret')
  })
})

describe('mirrors', () => {
  test('a pull asks the mirror, and the registry for what the mirror lacks', async () => {
    const [mirror, origin] = [await start(), await start()]
    const image = sampleImage()
    const plain = new Registries({ env: {}, insecure: true, hosts: await load({}, true) })
    await copyImage(image, await openDestination(`${origin.host}/app:v1`, { registries: plain }))
    await copyImage(image, await openDestination(`${mirror.host}/cache/app:v1`, { registries: plain }))
    mirror.blobs.get('cache/app')?.delete(image.layers[0]?.descriptor.digest ?? '')
    origin.calm()
    mirror.calm()
    const conf = `[[registry]]\nlocation="${origin.host}"\n[[registry.mirror]]\nlocation="${mirror.host}/cache"\ninsecure=true`
    const notes: string[] = []
    const registries = new Registries({
      env: {},
      hosts: await load({ 'etc/containers/registries.conf': conf }),
      report: (event) => void (event.type === 'note' && notes.push(event.text)),
    })
    const found = await openImage(`${origin.host}/app:v1`, { registries })
    for (const layer of found.layers) for await (const _ of layer.open());
    expect(mirror.kinds()).toContain('get-manifest')
    expect(origin.kinds()).toEqual(['get-blob'])
    expect(notes.join()).toContain(`The mirror ${mirror.host} was passed over`)
  })

  test('a mirror that is down costs a note, not the pull', async () => {
    const origin = await start()
    const image = sampleImage()
    const plain = new Registries({ env: {}, insecure: true, hosts: await load({}, true) })
    await copyImage(image, await openDestination(`${origin.host}/app:v1`, { registries: plain }))
    const conf = `[[registry]]\nlocation="${origin.host}"\n[[registry.mirror]]\nlocation="127.0.0.1:1/cache"\ninsecure=true`
    const registries = new Registries({
      env: {},
      retry: { baseMs: 1 },
      hosts: await load({ 'etc/containers/registries.conf': conf }),
    })
    expect((await openImage(`${origin.host}/app:v1`, { registries })).descriptor).toEqual(image.descriptor)
  })
})

describe('TLS', () => {
  const tlsOf = async (): Promise<{ key: string; cert: string }> => ({
    key: await pem('server.key'),
    cert: await pem('server.crt'),
  })
  const reach = async (registry: FaultRegistry, hosts: HostConfiguration): Promise<unknown> => {
    const registries = new Registries({ env: {}, hosts, retry: { tries: 1 } })
    return registries.client({ registry: registry.host, repository: 'a' }, { actions: 'pull' }).headManifest('v1')
  }

  test('an untrusted certificate is refused with a hint, and there is no fall back to plain HTTP', async () => {
    const registry = await start({ tls: await tlsOf() })
    await expect(reach(registry, await load({}))).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      hint: expect.stringMatching(/SSL_CERT_FILE.*certs\.d/),
    })
    expect(registry.requests).toEqual([])
  })

  test('certs.d and --insecure make it trusted', async () => {
    const registry = await start({ tls: await tlsOf() })
    const path = `etc/docker/certs.d/${registry.host}/ca.crt`
    expect(await reach(registry, await load({ [path]: await pem('ca.crt') }))).toBeUndefined()
    await rm(join(folder, path))
    expect(await reach(registry, await load({}, true))).toBeUndefined()
  })

  test('SSL_CERT_FILE and NODE_EXTRA_CA_CERTS make it trusted', async () => {
    const registry = await start({ tls: await tlsOf() })
    await writeFile(join(folder, 'ca.pem'), await pem('ca.crt'))
    for (const name of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']) {
      const env = { [name]: join(folder, 'ca.pem') }
      const registries = new Registries({ env, hosts: await load({}), retry: { tries: 1 } })
      const client = registries.client({ registry: registry.host, repository: 'a' }, { actions: 'pull' })
      expect(await client.headManifest('v1')).toBeUndefined()
    }
  })

  test('a client certificate is shown to a server that asks for one', async () => {
    const registry = await start({ tls: { ...(await tlsOf()), ca: await pem('ca.crt') } })
    const base = `etc/containers/certs.d/${registry.host}`
    const ca = { [`${base}/ca.crt`]: await pem('ca.crt') }
    await expect(reach(registry, await load(ca))).rejects.toMatchObject({
      code: 'CREDENTIALS_INVALID',
      // Without the place in OpenSSL's sources.
      message: expect.stringMatching(/: [a-z0-9 ]*certificate required$/) as string,
      hint: expect.stringContaining('client certificate') as string,
    })
    const alone = { [`${base}/me.cert`]: await pem('client.crt') }
    await expect((async () => reach(registry, await load({ ...ca, ...alone })))()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`${registry.host}/me.key`) as string,
    })
    const others = { ...alone, [`${base}/me.key`]: await pem('server.key') }
    await expect((async () => reach(registry, await load({ ...ca, ...others })))()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`The certificates set for ${registry.host} cannot be used`) as string,
    })
    const client = { [`${base}/me.cert`]: await pem('client.crt'), [`${base}/me.key`]: await pem('client.key') }
    expect(await reach(registry, await load({ ...ca, ...client }))).toBeUndefined()
  })

  test('43 nothing but HTTP/1.1 is offered, so no stream of an upload is reset', async () => {
    const registry = await start({ tls: await tlsOf() })
    expect(await reach(registry, await load({}, true))).toBeUndefined()
    expect(registry.requests[0]?.protocol).toBe('http/1.1')
  })
})
