import { expect, test } from 'vitest'
import { joinFolders, mergeEnvironment, parseEnvironment } from '../../src/plan/environment.ts'
import { describeDropped, makeRuntimeConfig } from '../../src/plan/runtime-config.ts'
import type { Config } from '../../src/config/config.ts'

const config = {
  build: { gpu: false },
  run: 'run.py:Runner',
  environment: [],
} as unknown as Config

const variable = (env: readonly string[] | null | undefined, name: string): string | undefined =>
  env?.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1)

test('makeRuntimeConfig() keeps the environment and labels of the base and replaces its entrypoint and command', () => {
  const base = {
    Env: ['PATH=/custom:/bin', 'NV=1'],
    Entrypoint: ['/opt/nvidia/nvidia_entrypoint.sh'],
    Cmd: ['bash'],
    WorkingDir: '/root',
    Labels: { maintainer: 'x', 'run.cog.version': 'old' },
  }
  const made = makeRuntimeConfig({
    config,
    interpreter: '/usr/bin/python3.11',
    base,
    gpu: undefined,
    labels: { 'run.cog.version': 'new' },
  })
  expect(variable(made.Env, 'PATH')).toBe('/opt/venv/bin:/custom:/bin')
  expect(variable(made.Env, 'NV')).toBe('1')
  expect(made).toMatchObject({
    Entrypoint: ['/usr/bin/python3.11', '-I', '-S', '/opt/layerwright/lib/launch.py'],
    WorkingDir: '/src',
    ExposedPorts: { '5000/tcp': {} },
  })
  expect(made.Cmd).toBeUndefined()
  expect(made.Labels).toEqual({ maintainer: 'x', 'run.cog.version': 'new' })
})

test('makeRuntimeConfig() gives a base without PATH the usual one', () => {
  const made = makeRuntimeConfig({
    config,
    interpreter: '/usr/bin/python3.11',
    base: undefined,
    gpu: undefined,
    labels: {},
  })
  expect(variable(made.Env, 'PATH')).toBe('/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
})

test('makeRuntimeConfig() carries values with spaces, quotes, newlines and equals signs byte for byte', () => {
  const value = 'a b "c" \'d\'\ne=f\\n$G'
  const made = makeRuntimeConfig({
    config: { ...config, environment: [{ name: 'X', value }] },
    interpreter: '/usr/bin/python3.11',
    base: undefined,
    gpu: undefined,
    labels: {},
  })
  expect(variable(made.Env, 'X')).toBe(value)
})

test('makeRuntimeConfig() writes the GPU contract and appends to library paths, never replaces them', () => {
  const gpu = {
    driverFloor: '525.60.13',
    libraryFolders: ['/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib'],
  }
  const made = makeRuntimeConfig({
    config,
    interpreter: '/usr/bin/python3.11',
    base: { Env: ['LD_LIBRARY_PATH=/mine'] },
    gpu,
    labels: {},
  })
  expect(variable(made.Env, 'NVIDIA_VISIBLE_DEVICES')).toBe('all')
  expect(variable(made.Env, 'NVIDIA_DRIVER_CAPABILITIES')).toBe('compute,utility')
  expect(variable(made.Env, 'NVIDIA_REQUIRE_CUDA')).toBe('driver>=525.60.13')
  expect(variable(made.Env, 'LD_LIBRARY_PATH')).toBe(
    '/mine:/usr/local/nvidia/lib:/usr/local/nvidia/lib64:/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib',
  )
})

test('makeRuntimeConfig() keeps the driver constraint that a CUDA base brings', () => {
  const base = { Env: ['NVIDIA_REQUIRE_CUDA=cuda>=12.6 brand=tesla'] }
  const made = makeRuntimeConfig({
    config,
    interpreter: '/usr/bin/python3.11',
    base,
    gpu: { driverFloor: '525.60.13', libraryFolders: [] },
    labels: {},
  })
  expect(variable(made.Env, 'NVIDIA_REQUIRE_CUDA')).toBe('cuda>=12.6 brand=tesla')
})

test('makeRuntimeConfig() asks for the driver of the wheels where it is newer than that of a CUDA base', () => {
  const base = { Env: ['CUDA_VERSION=11.8.0', 'NVIDIA_REQUIRE_CUDA=cuda>=11.8 brand=tesla'] }
  const made = makeRuntimeConfig({
    config,
    interpreter: '/usr/bin/python3.11',
    base,
    gpu: { driverFloor: '525.60.13', libraryFolders: [] },
    labels: {},
  })
  expect(variable(made.Env, 'NVIDIA_REQUIRE_CUDA')).toBe('driver>=525.60.13')
})

test('describeDropped() says what of the base is left out', () => {
  expect(
    describeDropped({ OnBuild: ['RUN x'], Healthcheck: { Test: ['CMD', 'x'] }, Volumes: { '/data': {} } }),
  ).toHaveLength(3)
  expect(describeDropped({ Env: [] })).toEqual([])
})

test('mergeEnvironment() keeps the place of a replaced variable', () => {
  const merged = mergeEnvironment(parseEnvironment(['A=1', 'B=2', 'C']), parseEnvironment(['B=3', 'D=']))
  expect(merged.map(({ name, value }) => `${name}=${value}`)).toEqual(['A=1', 'B=3', 'C=', 'D='])
})

test.each([
  [undefined, { before: ['/a'] }, '/a'],
  ['/b', { before: ['/a'], after: ['/c'] }, '/a:/b:/c'],
  ['/a:/b', { before: ['/a'], after: ['/b', '/b2'] }, '/a:/b:/b2'],
  ['', { after: ['/a', '/a2'] }, '/a:/a2'],
])('joinFolders(%s, %o) is %s', (list, more, expected) => {
  expect(joinFolders(list, more)).toBe(expected)
})

test('makeRuntimeConfig() tells the server how requests are gathered', () => {
  const batched = { ...config, batch: { maxSize: 8, maxWaitMs: 25 } }
  const made = makeRuntimeConfig({
    config: batched,
    interpreter: '/python',
    base: undefined,
    gpu: undefined,
    labels: {},
  })
  expect(variable(made.Env, 'LAYERWRIGHT_BATCH_SIZE')).toBe('8')
  expect(variable(made.Env, 'LAYERWRIGHT_BATCH_WAIT_MS')).toBe('25')
})

const traced = {
  ...config,
  tracing: {
    sampler: 'traceidratio',
    samplerArgument: '0.10',
    header: 'x-trace',
    headerFormat: 'jaeger',
    providerFile: 'lib/telemetry.py',
  },
}

test.each([
  ['layerwright' as const, '/src/lib/telemetry.py'],
  ['coglet' as const, undefined],
])('makeRuntimeConfig() tells the server %s what to trace', (runtime, provider) => {
  const made = makeRuntimeConfig({
    config: { ...traced, runtime },
    interpreter: '/python',
    base: undefined,
    gpu: undefined,
    labels: {},
  })
  expect(variable(made.Env, 'COG_TRACE_CONFIGURED')).toBe('true')
  expect(variable(made.Env, 'COG_TRACE_SAMPLER')).toBe('traceidratio')
  expect(variable(made.Env, 'COG_TRACE_SAMPLER_ARG')).toBe('0.10')
  expect(variable(made.Env, 'COG_TRACE_HEADER')).toBe('x-trace')
  expect(variable(made.Env, 'COG_TRACE_HEADER_FORMAT')).toBe('jaeger')
  expect(variable(made.Env, 'COG_OBSERVABILITY_CONFIG')).toBe(provider)
})
