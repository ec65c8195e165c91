import { expect, test } from 'vitest'
import { assertGpuCode, gpuCodeOf } from '../../layers/gpu-code.ts'
import { layerKey, type LayerSpec } from '../../layers/kinds/index.ts'
import { saveNotes } from '../../layers/notes.ts'
import { memoryCache } from '../../src/core/cache.ts'

const SITE = 'opt/venv/lib/python3.11/site-packages'
const wheels = (python: string): LayerSpec => ({ kind: 'wheels', prefix: 'opt/venv', python, wheels: [] })

test('gpuCodeOf() gathers the code of each package from its libraries, in the order of the layers', async () => {
  const notes = memoryCache()
  const save = async (
    spec: LayerSpec,
    files: readonly (readonly [string, string, readonly string[]])[],
  ): Promise<void> => {
    const libraries = files.map(([, path, cudaArchitectures]) => ({
      path,
      needed: [],
      searchPath: [],
      cudaArchitectures,
    }))
    const claims = files.map(([owner, path]) => ({ path, package: owner, content: 'sha256=x' }))
    await saveNotes(layerKey(spec), { claims, findings: () => ({ libraries }) } as never, notes)
  }
  await save(wheels('3.11'), [
    ['torch 2.8.0', `${SITE}/torch/lib/libtorch_cuda.so`, ['sm_80', 'sm_90', 'sm_120']],
    ['torch 2.8.0', `${SITE}/torch/lib/libhopper.so`, ['sm_90', 'compute_100']],
    ['numpy 2.3.0', `${SITE}/numpy/core.so`, []],
  ])
  await save(wheels('3.12'), [['xformers 0.1', `${SITE}/xformers/_C.so`, ['sm_90']]])
  const specs = [wheels('3.11'), wheels('3.13'), wheels('3.12')]
  expect(await gpuCodeOf(specs, {}, notes)).toEqual([
    { package: 'torch 2.8.0', architectures: ['compute_100', 'sm_80', 'sm_90', 'sm_120'] },
    { package: 'xformers 0.1', architectures: ['sm_90'] },
  ])
})

test.each<[has: string[], target: string, isCovered: boolean]>([
  [['sm_90'], '9.0', true],
  [['sm_80'], '8.6', true],
  [['sm_86'], '8.0', false],
  [['sm_80'], '9.0', false],
  [['compute_80'], '12.0', true],
  [['compute_90'], '8.6', false],
  [['sm_50', 'sm_90', 'compute_120'], '10.0', false],
  [['compute_120', 'compute_90'], '10.0', true],
  [['sm_100'], '10.3', true],
])('assertGpuCode() of %j for %s: %s', (architectures, target, isCovered) => {
  const check = (): void => assertGpuCode([{ package: 'a 1', architectures }], [target])
  if (isCovered) check()
  else expect(check).toThrow(/^a 1 has no code for GPU architecture \d+\.\d/)
})

test('assertGpuCode() names every package and target at once', () => {
  const packages = [
    { package: 'a 1', architectures: ['sm_90'] },
    { package: 'b 2', architectures: ['sm_80', 'sm_90'] },
  ]
  expect(() => assertGpuCode(packages, ['7.5', '8.0'])).toThrow(
    expect.objectContaining({
      code: 'ENVIRONMENT_CONFLICT',
      data: {
        uncovered: [
          { package: 'a 1', target: '7.5', architectures: ['sm_90'] },
          { package: 'a 1', target: '8.0', architectures: ['sm_90'] },
          { package: 'b 2', target: '7.5', architectures: ['sm_80', 'sm_90'] },
        ],
      },
    }) as Error,
  )
  expect(() => assertGpuCode(packages, [])).not.toThrow()
})
