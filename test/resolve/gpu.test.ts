import { expect, test } from 'vitest'
import { lockGpu } from '../../src/resolve/gpu.ts'
import type { LockedWheel } from '../../src/python/lock.ts'

const wheel = (name: string, version = '1'): LockedWheel => ({
  name,
  version,
  filename: `${name}-${version}-py3-none-any.whl`,
  url: `https://files.example/${name}.whl`,
  sha256: '0'.repeat(64),
  sizeBytes: 1,
  requested: false,
  dependencies: [],
})
const interpreter = { kind: 'base', version: '3.11.9', executable: '/usr/bin/python3.11' } as const
const choice = { driverFloor: '525.60.13' } as Parameters<typeof lockGpu>[0]
const folders = (...wheels: readonly LockedWheel[]): readonly string[] =>
  lockGpu(choice, interpreter, wheels).libraryFolders

test.each(['onnxruntime-gpu', 'ctranslate2', 'cupy-cuda12x'])(
  'lockGpu() tells the loader where CUDA is for %s',
  (name) => {
    expect(
      folders(wheel(name), wheel('nvidia-cublas-cu12'), wheel('nvidia-cuda-runtime-cu12'), wheel('numpy')),
    ).toEqual([
      '/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib',
      '/opt/venv/lib/python3.11/site-packages/nvidia/cuda_runtime/lib',
    ])
  },
)

test('lockGpu() knows the folder that the wheels of CUDA 13 share', () => {
  const cuda = [wheel('nvidia-cublas', '13.4.1'), wheel('nvidia-cufft', '12.2'), wheel('nvidia-cuda-runtime', '13.2.1')]
  expect(folders(wheel('onnxruntime-gpu'), ...cuda, wheel('nvidia-cudnn-cu13'))).toEqual([
    '/opt/venv/lib/python3.11/site-packages/nvidia/cu13/lib',
    '/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib',
  ])
})

test('lockGpu() leaves the path alone for packages that find CUDA by themselves', () => {
  expect(folders(wheel('torch'), wheel('nvidia-cublas-cu12'))).toEqual([])
})
