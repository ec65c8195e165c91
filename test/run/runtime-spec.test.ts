import { describe, expect, test } from 'vitest'
import type { DirectContainer } from '../../src/run/direct.ts'
import { heldCapabilities, makeRuntimeSpec, parseBounding, type SpecContext } from '../../src/run/runtime-spec.ts'
import { mountScript, quote } from '../../src/run/shell-mounts.ts'

const container: DirectContainer = {
  name: 'c',
  image: {
    config: {
      os: 'linux',
      architecture: 'amd64',
      created: '2020-01-01T00:00:00Z',
      config: {
        StopSignal: 'SIGTERM',
        ExposedPorts: { '5000/tcp': {}, '8080/tcp': {} },
        Labels: { a: 'b', 'org.opencontainers.image.os': 'mine', 'run.oci.keep_original_groups': '1' },
      },
      rootfs: { type: 'layers', diff_ids: [] },
    },
    configBytes: Buffer.alloc(0),
    manifestBytes: Buffer.alloc(0),
    manifest: { schemaVersion: 2, config: { mediaType: '', digest: 'sha256:', size: 0 }, layers: [] },
    descriptor: { mediaType: '', digest: 'sha256:', size: 0 },
    layers: [],
  },
  folders: async () => [],
  request: {},
  additionalGids: [],
  process: { args: ['/x'], env: ['A=1'], cwd: '/src', uid: 1000, gid: 1000, additionalGids: [44] },
  binds: [{ source: '/host/a', destination: '/usr/lib/x', options: ['ro'] }],
  memory: [{ destination: '/tmp', mode: 0o1777 }],
  devices: [
    {
      path: '/dev/g0',
      hostPath: '/dev/g0',
      type: 'c',
      major: 195,
      minor: 0,
      fileMode: 0o666,
      uid: 0,
      gid: 0,
      permissions: 'rw',
    },
  ],
  hooks: { createContainer: [{ path: '/bin/hook', args: ['hook', "it's"], env: ['X=y'] }] },
  network: 'host',
  hostname: 'h',
  stdin: 'ignore',
  terminal: false,
  workFolder: '/work',
}
const context: SpecContext = { host: { namespaces: 'root', pidNamespace: true }, bounding: ~0n, deviceCgroup: true }
const spec = makeRuntimeSpec(container, context)
const options = (destination: string, of = spec): readonly string[] | undefined =>
  of.mounts.find((mount) => mount.destination === destination)?.options

describe('makeRuntimeSpec()', () => {
  test('takes the process over and lets it gain nothing', () => {
    expect(spec.process).toMatchObject({
      user: { uid: 1000, gid: 1000, additionalGids: [44] },
      args: ['/x'],
      cwd: '/src',
      noNewPrivileges: true,
    })
    expect(spec.process.capabilities).toMatchObject({ effective: [], permitted: [], inheritable: [], ambient: [] })
    expect(spec.process.rlimits).toBeUndefined()
  })

  test('gives root the usual capabilities, never MKNOD, and none that the caller lacks', () => {
    expect(heldCapabilities(~0n)).toContain('CAP_CHOWN')
    expect(heldCapabilities(~0n)).not.toContain('CAP_MKNOD')
    expect(heldCapabilities(1n)).toEqual(['CAP_CHOWN'])
    expect(parseBounding('Name:\tx\nCapBnd:\t00000000a80425fb\n')).toBe(0xa80425fbn)
  })

  test('mounts parents before what lies below them', () => {
    const order = spec.mounts.map((mount) => mount.destination)
    expect(order.indexOf('/dev')).toBeLessThan(order.indexOf('/dev/pts'))
    expect(order.indexOf('/tmp')).toBeLessThan(order.indexOf('/usr/lib/x'))
    expect(options('/usr/lib/x')).toEqual(['rbind', 'ro'])
    expect(options('/tmp')).toContain('mode=1777')
  })

  test('allows the devices that are asked for, and no other', () => {
    expect(spec.linux.resources?.devices).toEqual([
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 195, minor: 0, access: 'rw' },
    ])
    expect(makeRuntimeSpec(container, { ...context, deviceCgroup: false }).linux.resources).toBeUndefined()
  })

  test('makes annotations of labels and fields; labels win, and orders to runtimes are left out', () => {
    expect(spec.annotations).toEqual({
      'org.opencontainers.image.architecture': 'amd64',
      'org.opencontainers.image.created': '2020-01-01T00:00:00Z',
      'org.opencontainers.image.stopSignal': 'SIGTERM',
      'org.opencontainers.image.exposedPorts': '5000/tcp,8080/tcp',
      'org.opencontainers.image.os': 'mine',
      a: 'b',
    })
  })

  test('binds the host /sys where a fresh one is not allowed', () => {
    const rootless = makeRuntimeSpec(container, { ...context, host: { namespaces: 'range', pidNamespace: true } })
    expect(options('/sys', rootless)).toContain('rbind')
    expect(options('/sys')).not.toContain('rbind')
  })

  test('with one user id everybody is the caller', () => {
    const single = makeRuntimeSpec(container, { ...context, host: { namespaces: 'single', pidNamespace: true } })
    expect(single.process.user).toEqual({ uid: 0, gid: 0 })
    expect(options('/dev/pts', single)).not.toContain('gid=5')
  })

  test('has a network namespace only when there is to be no network', () => {
    const types = (network: 'host' | 'none'): string[] =>
      makeRuntimeSpec({ ...container, network }, context).linux.namespaces.map(({ type }) => type)
    expect(types('host')).not.toContain('network')
    expect(types('none')).toContain('network')
  })
})

describe('mountScript()', () => {
  const script = mountScript(spec, [], container.devices)

  test('binds files and devices, and runs hooks with the state of the container', () => {
    expect(script).toContain(`bind '/host/a' 'root/usr/lib/x' 'ro'`)
    expect(script).toContain(`bind_file '/dev/g0' 'root/dev/g0'`)
    expect(script).toMatch(/env -i 'X=y' '\/bin\/hook' 'it'\\''s'/)
  })

  test('masks and write-protects what a runtime would', () => {
    expect(script).toContain(`mask 'root/proc/kcore'`)
    expect(script).toContain(`read_only 'root/proc/sys'`)
  })

  test('quote() keeps any word one word', () => {
    expect(quote(`a'b $(c) "d"`)).toBe(`'a'\\''b $(c) "d"'`)
  })
})
