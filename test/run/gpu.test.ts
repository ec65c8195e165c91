import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, type Stats } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { applyCdiEdits } from '../../src/run/cdi/apply.ts'
import { loadCdi } from '../../src/run/cdi/registry.ts'
import { CDI_VERSIONS, parseCdiSpec } from '../../src/run/cdi/spec.ts'
import { driverEdits, driverPlaces, findNvidiaDriver, type NvidiaDriver } from '../../src/run/gpu/nvidia-driver.ts'
import { evaluateRequirements } from '../../src/run/gpu/requirements.ts'
import { defaultGpus, resolveGpus } from '../../src/run/gpu/resolve-gpus.ts'

const all = mkdtempSync(join(tmpdir(), 'lw-gpu-'))
afterAll(() => rmSync(all, { recursive: true }))
let count = 0
const folderOf = (files: Readonly<Record<string, unknown>>): string => {
  const folder = join(all, String(count++))
  mkdirSync(folder)
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value))
  }
  return folder
}

const device = (name: string, edits: object = { env: [`D=${name}`] }): object => ({ name, containerEdits: edits })
const spec = (more: object = {}): Record<string, unknown> => ({
  cdiVersion: '0.5.0',
  kind: 'nvidia.com/gpu',
  devices: [device('0'), device('1'), device('all')],
  ...more,
})
const parse = (value: unknown): unknown => parseCdiSpec(value, 'x.json')

describe('parseCdiSpec()', () => {
  test.each(CDI_VERSIONS)('takes version %s', (cdiVersion) => {
    expect(parse({ cdiVersion, kind: 'v.com/gpu', devices: [device('gpu0')] })).toMatchObject({ cdiVersion })
  })

  test.each([
    ['a version too new', spec({ cdiVersion: '1.2.0' }), /version unknown here: `1.2.0`/],
    ['no version', { kind: 'a/b' }, /version unknown/],
    ['an unknown field', spec({ extra: 1 }), /invalid.*extra/],
    ['an unknown edit', spec({ containerEdits: { magic: [] } }), /magic/],
    ['no devices', spec({ devices: [] }), /devices/],
    ['a malformed name', spec({ devices: [device('a b')] }), /Not a device name/],
    ['a malformed kind', spec({ kind: 'gpu' }), /malformed kind/],
    ['an unknown hook', spec({ containerEdits: { hooks: [{ hookName: 'x', path: '/x' }] } }), /hookName/],
    [
      'a hook without an absolute path',
      spec({ containerEdits: { hooks: [{ hookName: 'prestart', path: 'x' }] } }),
      /absolute/,
    ],
    ['a variable without a value', spec({ containerEdits: { env: ['X'] } }), /NAME=value/],
    [
      'a wrong permission',
      spec({ containerEdits: { deviceNodes: [{ path: '/dev/x', permissions: 'q' }] } }),
      /permissions/,
    ],
    ['a negative number', spec({ containerEdits: { deviceNodes: [{ path: '/dev/x', major: -1 }] } }), /major/],
  ])('refuses %s', (_name, value, message) => {
    expect(() => parse(value)).toThrowError(
      expect.objectContaining({ code: 'HOST_UNSUPPORTED', message: expect.stringMatching(message) }),
    )
  })

  test.each([
    [
      '0.3.0',
      { containerEdits: { mounts: [{ hostPath: '/a', containerPath: '/a', type: 'bind' }] }, devices: [device('a')] },
      '0.4.0',
    ],
    ['0.4.0', { devices: [device('0')] }, '0.5.0'],
    ['0.4.0', { devices: [device('a', { deviceNodes: [{ path: '/dev/a', hostPath: '/dev/b' }] })] }, '0.5.0'],
    ['0.5.0', { annotations: { a: 'b' } }, '0.6.0'],
    ['0.5.0', { kind: 'v.com/a.b' }, '0.6.0'],
    ['0.6.0', { containerEdits: { additionalGids: [44] } }, '0.7.0'],
    ['0.6.0', { containerEdits: { intelRdt: {} } }, '0.7.0'],
    ['1.0.0', { containerEdits: { netDevices: [{ hostInterfaceName: 'a', name: 'b' }] } }, '1.1.0'],
  ])('version %s may not use %j', (cdiVersion, more, needed) => {
    expect(() => parse(spec({ cdiVersion, ...more }))).toThrow(
      new RegExp(`which came with ${needed.replaceAll('.', '\\.')}`),
    )
    expect(() => parse(spec({ ...more, cdiVersion: needed }))).not.toThrow()
  })
})

describe('loadCdi()', () => {
  test('finds devices in JSON and YAML; common edits come once, first', () => {
    const folder = folderOf({
      'a.json': spec({ containerEdits: { env: ['COMMON=1'] } }),
      'b.yaml': 'cdiVersion: "0.5.0"\nkind: amd.com/gpu\ndevices:\n- name: "0"\n  containerEdits:\n    env: [A=1]\n',
      'c.txt': 'not a specification',
    })
    const cdi = loadCdi([folder, join(all, 'missing')])
    expect(cdi.names).toEqual(['amd.com/gpu=0', 'nvidia.com/gpu=0', 'nvidia.com/gpu=1', 'nvidia.com/gpu=all'])
    expect(cdi.edits(['nvidia.com/gpu=0', 'nvidia.com/gpu=1'])).toEqual([
      { env: ['COMMON=1'] },
      { env: ['D=0'] },
      { env: ['D=1'] },
    ])
  })

  test('a later folder wins, two files of one folder conflict', () => {
    const first = folderOf({ 'a.json': spec() })
    const later = folderOf({ 'a.json': spec({ devices: [device('0', { env: ['LATER=1'] })] }) })
    expect(loadCdi([first, later]).edits(['nvidia.com/gpu=0'])).toEqual([{ env: ['LATER=1'] }])
    const twice = folderOf({ 'a.json': spec(), 'b.json': spec() })
    expect(() => loadCdi([twice]).edits(['nvidia.com/gpu=0'])).toThrow(/defined more than once/)
    expect(loadCdi([twice, later]).edits(['nvidia.com/gpu=0'])).toHaveLength(1)
  })

  test('an unknown device names those there are, and the files that could not be read', () => {
    const cdi = loadCdi([folderOf({ 'a.json': spec(), 'new.json': spec({ cdiVersion: '9.0.0' }), 'bad.json': '{' })])
    expect(cdi.errors).toHaveLength(2)
    expect(() => cdi.edits(['nvidia.com/gpu=7'])).toThrowError(
      expect.objectContaining({
        message: 'Unknown device: `nvidia.com/gpu=7`',
        hint: expect.stringMatching(/gpu=0.*bad\.json.*`9\.0\.0`/s),
      }),
    )
  })
})

const node = (rdev: number): Stats =>
  ({ rdev, mode: 0o20666, uid: 0, gid: 44, isCharacterDevice: () => true, isBlockDevice: () => false }) as Stats

describe('applyCdiEdits()', () => {
  test('fills nodes in from the host and keeps what is stated', () => {
    const { devices } = applyCdiEdits(
      [
        {
          deviceNodes: [
            { path: '/dev/a' },
            { path: '/dev/b', hostPath: '/dev/c', permissions: 'r', fileMode: 0o600, gid: 7 },
          ],
        },
      ],
      (path) => node(path === '/dev/a' ? 0xc3fe : 0xc301),
    )
    expect(devices).toEqual([
      {
        path: '/dev/a',
        hostPath: '/dev/a',
        type: 'c',
        major: 195,
        minor: 254,
        fileMode: 0o666,
        uid: 0,
        gid: 44,
        permissions: 'rwm',
      },
      {
        path: '/dev/b',
        hostPath: '/dev/c',
        type: 'c',
        major: 195,
        minor: 1,
        fileMode: 0o600,
        uid: 0,
        gid: 7,
        permissions: 'r',
      },
    ])
  })

  test('collects variables, mounts, hooks and groups; the last of a path wins', () => {
    const hook = { hookName: 'createContainer' as const, path: '/bin/ctk', args: ['ctk', 'x'] }
    const edits = applyCdiEdits([
      {
        env: ['A=1', 'B=x=y'],
        mounts: [{ hostPath: '/a', containerPath: '/x', options: ['ro'] }],
        hooks: [hook],
        additionalGids: [0, 44],
      },
      { env: ['A=2'], mounts: [{ hostPath: '/b', containerPath: '/x' }], hooks: [hook] },
    ])
    expect(edits.env).toEqual({ A: '2', B: 'x=y' })
    expect(edits.binds).toEqual([{ source: '/b', destination: '/x', options: [] }])
    expect(edits.hooks['createContainer']).toHaveLength(2)
    expect(edits.additionalGids).toEqual([44])
  })

  test('refuses nodes that are not there, and what cannot be done', () => {
    const missing = (): undefined => undefined
    expect(() => applyCdiEdits([{ deviceNodes: [{ path: '/dev/nvidia9' }] }], missing)).toThrow(
      /No device node at \/dev\/nvidia9/,
    )
    expect(() => applyCdiEdits([{ intelRdt: {} }])).toThrow(/cache classes/)
    expect(() => applyCdiEdits([{ mounts: [{ hostPath: 'x', containerPath: '/x', type: 'overlay' }] }])).toThrow(
      /overlay/,
    )
  })
})

describe('findNvidiaDriver() and driverEdits()', () => {
  const libraries = folderOf({
    'libcuda.so.570.124.06': '',
    'libnvidia-ml.so.570.124.06': '',
    'libcuda.so.535.1.1': 'older',
    'libGL.so.570.124.06': 'graphics',
  })
  const again = join(all, 'again')
  symlinkSync(libraries, again)
  const places = {
    libraries: [libraries, again, join(all, 'missing')],
    programs: [folderOf({ 'nvidia-smi': '', other: '' })],
    devices: folderOf({ nvidia0: '', nvidia10: '', nvidia2: '', nvidiactl: '', 'nvidia-uvm': '', null: '' }),
    version: join(
      folderOf({ version: 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.124.06  Wed\n' }),
      'version',
    ),
  }
  const driver = findNvidiaDriver(places)

  test('finds the libraries of the loaded version once, and the nodes in order', () => {
    expect(driver?.version).toBe('570.124.06')
    expect(driver?.libraries.map((path) => path.slice(libraries.length + 1)).sort()).toEqual([
      'libcuda.so.570.124.06',
      'libnvidia-ml.so.570.124.06',
    ])
    expect(driver?.gpus.map((path) => path.slice(places.devices.length + 1))).toEqual([
      'nvidia0',
      'nvidia2',
      'nvidia10',
    ])
    expect(driver?.control).toHaveLength(2)
    expect(driver?.programs).toHaveLength(1)
  })

  test('takes a program itself before a script that starts it where it lies on the host', () => {
    const wrapper = folderOf({
      'nvidia-smi': '#!/bin/sh\nexec /usr/local/nvidia/bin/nvidia-smi "$@"\n',
      'nvidia-debugdump': '#!',
    })
    const real = folderOf({ 'nvidia-smi': '\u007FELF...' })
    expect(findNvidiaDriver({ ...places, programs: [wrapper, real] })?.programs).toEqual([
      join(real, 'nvidia-smi'),
      join(wrapper, 'nvidia-debugdump'),
    ])
  })

  test('without a kernel file goes by the library; without a node there is no driver', () => {
    expect(findNvidiaDriver({ ...places, version: join(all, 'missing') })?.version).toMatch(/^(570|535)/)
    expect(findNvidiaDriver({ ...places, devices: folderOf({}) })).toBeUndefined()
  })

  test('looks below a folder where a driver lies in a container of its own', () => {
    const root = folderOf({})
    const before = driverPlaces(root)
    expect(before.libraries).toContain(join(root, 'usr/lib64'))
    expect([before.devices, before.version]).toEqual(['/dev', '/proc/driver/nvidia/version'])
    for (const folder of ['dev', 'proc/driver/nvidia']) mkdirSync(join(root, folder), { recursive: true })
    writeFileSync(join(root, 'dev/nvidia0'), '')
    writeFileSync(join(root, 'proc/driver/nvidia/version'), '')
    expect(driverPlaces(root)).toMatchObject({
      devices: join(root, 'dev'),
      version: join(root, 'proc/driver/nvidia/version'),
    })
    expect(driverPlaces('')).toBe(driverPlaces(undefined))
  })

  test('binds each library under both names, and appends its folder', () => {
    const real: NvidiaDriver = {
      version: '570.1',
      libraries: ['/l/libcuda.so.570.1'],
      programs: [],
      gpus: ['/dev/null'],
      control: ['/dev/zero'],
    }
    const edits = driverEdits(real, undefined, '/mine')
    expect(edits.binds.map((bind) => bind.destination)).toEqual([
      '/usr/local/nvidia/lib64/libcuda.so.570.1',
      '/usr/local/nvidia/lib64/libcuda.so.1',
    ])
    expect(edits.env).toEqual({ NVIDIA_VISIBLE_DEVICES: 'void', LD_LIBRARY_PATH: '/mine:/usr/local/nvidia/lib64' })
    expect(edits.devices).toMatchObject([
      { path: '/dev/zero', major: 1, minor: 5 },
      { path: '/dev/null', minor: 3 },
    ])
    expect(() => driverEdits(real, [3], undefined)).toThrow(/No GPU has this number: 3/)
  })
})

describe('resolveGpus()', () => {
  const context = (files: Readonly<Record<string, unknown>>, more: object = {}): Parameters<typeof resolveGpus>[2] => ({
    report: () => {},
    cdi: loadCdi([folderOf(files)]),
    driver: false,
    checkRequirements: evaluateRequirements,
    ...more,
  })
  const nvidia = { 'n.json': spec() }
  const amd = { 'a.json': spec({ kind: 'amd.com/gpu' }) }
  const intel = { 'i.json': spec({ kind: 'intel.com/gpu', devices: [device('card0'), device('card1')] }) }

  test.each([
    ['all', nvidia, { NVIDIA_VISIBLE_DEVICES: 'void', D: 'all' }],
    ['1', nvidia, { NVIDIA_VISIBLE_DEVICES: 'void', D: '1' }],
    ['device=0,1', nvidia, { NVIDIA_VISIBLE_DEVICES: 'void', D: '1' }],
    ['nvidia.com/gpu=0', nvidia, { NVIDIA_VISIBLE_DEVICES: 'void', D: '0' }],
    ['all', amd, { D: 'all' }],
    ['amd.com/gpu=1', { ...nvidia, ...amd }, { D: '1' }],
    ['all', intel, { D: 'card1' }],
    ['all', { ...nvidia, ...amd }, { NVIDIA_VISIBLE_DEVICES: 'void', D: 'all' }],
  ])('%s, by case %#', (words, files, env) => {
    expect(resolveGpus(words, {}, context(files))?.env).toEqual(env)
  })

  test('an image that asks for GPUs gets all there are, or a warning', () => {
    const asking = { Env: ['NVIDIA_VISIBLE_DEVICES=all'] }
    const said: unknown[] = []
    const report = (event: unknown): void => void said.push(event)
    expect(defaultGpus(asking, context(nvidia, { report }))?.env['D']).toBe('all')
    expect(defaultGpus({}, context(nvidia, { report }))).toBeUndefined()
    expect(said).toEqual([])
    expect(defaultGpus(asking, context({}, { report }))).toBeUndefined()
    expect(said).toMatchObject([{ type: 'note', level: 'warning' }])
  })

  test('none is none', () => {
    expect(resolveGpus('none', {}, context(nvidia))).toBeUndefined()
  })

  test('a host without GPUs says what was looked for, and what was wrong with a specification', () => {
    expect(() => resolveGpus('all', {}, context({ 'new.json': spec({ cdiVersion: '2.0.0' }) }))).toThrowError(
      expect.objectContaining({ code: 'HOST_UNSUPPORTED', hint: expect.stringMatching(/nvidia-ctk.*2\.0\.0/s) }),
    )
    expect(() => resolveGpus('', {}, context({}))).toThrow(/No GPU is named/)
    const driver = { version: '570.1', libraries: [], programs: [], gpus: ['/dev/null'], control: [] }
    expect(() => resolveGpus('first', {}, context({}, { driver }))).toThrow(/Not the number of a GPU/)
  })

  test('refuses a driver that the image does not take, unless told not to ask', () => {
    const driver = { version: '450.80.02', libraries: [], programs: [], gpus: ['/dev/null'], control: [] }
    const Env = ['NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471']
    expect(() => resolveGpus('all', { Env }, context({}, { driver }))).toThrow(/450\.80\.02 does not fit.*cuda>=12\.4/)
    expect(() =>
      resolveGpus('all', { Env: [...Env, 'NVIDIA_DISABLE_REQUIRE=1'] }, context({}, { driver })),
    ).not.toThrow()
    expect(resolveGpus('all', { Env }, context({}, { driver: { ...driver, version: '470.5' } }))).toBeDefined()
  })
})

test.each([
  [{ NVIDIA_REQUIRE_CUDA: 'cuda>=12.4' }, '560.28.03', 0],
  [{ NVIDIA_REQUIRE_CUDA: 'cuda>=12.4', NVIDIA_REQUIRE_DRIVER: 'driver>=570' }, '560.28.03', 1],
  [{ CUDA_VERSION: '12.4.1' }, '470.57.02', 1],
  [{ CUDA_VERSION: '11.8.0', NVIDIA_REQUIRE_CUDA: 'cuda>=11.0' }, '470.57.02', 0],
  [{ NVIDIA_REQUIRE_JETPACK: 'cuda>=99' }, '470.57.02', 0],
  [{ NVIDIA_REQUIRE_CUDA: 'nonsense' }, '470.57.02', 1],
  [{}, '470.57.02', 0],
])('evaluateRequirements(%j) with driver %s has %i problems', (env, driver, problems) => {
  expect(evaluateRequirements(env as Record<string, string>, driver)).toHaveLength(problems)
})
