import { describe, expect, test } from 'vitest'
import { findUnmetNeeds, isDriverLibrary, type PlacedLibrary } from '../../src/python/libraries.ts'

const SITE = 'opt/venv/lib/python3.11/site-packages'
const library = (
  path: string,
  needed: string[] = [],
  searchPath: string[] = [],
  cudaArchitectures: string[] = [],
): PlacedLibrary => ({
  path: `${SITE}/${path}`,
  machine: 'x86_64',
  needed,
  searchPath,
  cudaArchitectures,
})
const unmet = (libraries: readonly PlacedLibrary[], libraryPath: readonly string[] = []) =>
  findUnmetNeeds({ libraries, systemNames: new Set(['libc.so.6', 'libm.so.6']), libraryPath })

describe('findUnmetNeeds()', () => {
  const cublas = library('nvidia/cublas/lib/libcublas.so.12', ['libc.so.6'])

  test('is content with the base, the driver, the loader and search paths', () => {
    const torch = library(
      'torch/lib/libtorch_cuda.so',
      ['libc.so.6', 'libcuda.so.1', 'ld-linux-x86-64.so.2', 'libcublas.so.12', 'libc10.so'],
      ['$ORIGIN/../../nvidia/cublas/lib', '${ORIGIN}'],
    )
    expect(unmet([torch, cublas, library('torch/lib/libc10.so')])).toEqual([])
  })

  test('says which folder would bring what has no search path', () => {
    const ort = library('onnxruntime/capi/libonnxruntime_providers_cuda.so', ['libcublas.so.12'], ['$ORIGIN'])
    const needs = unmet([ort, cublas])
    expect(needs).toEqual([{ path: ort.path, needed: 'libcublas.so.12', folders: [`/${SITE}/nvidia/cublas/lib`] }])
    expect(unmet([ort, cublas], [`/${SITE}/nvidia/cublas/lib`])).toEqual([])
  })

  test('says what nothing brings', () => {
    expect(unmet([library('cv2/cv2.abi3.so', ['libGL.so.1'])])).toEqual([
      { path: `${SITE}/cv2/cv2.abi3.so`, needed: 'libGL.so.1', folders: [] },
    ])
  })

  test('knows a file by its soname', () => {
    const hashed = { ...library('numpy.libs/libgfortran-040039e1.so.5.0.0'), soname: 'libgfortran.so.5' }
    expect(unmet([library('x.so', ['libgfortran.so.5']), hashed])).toMatchObject([{ folders: [`/${SITE}/numpy.libs`] }])
  })
})

test.each([
  ['libcuda.so.1', true],
  ['libcuda.so', true],
  ['libnvidia-ml.so.1', true],
  ['libnvcuvid.so.1', true],
  ['libcudart.so.12', false],
  ['libcudnn.so.9', false],
  ['libnvrtc.so.12', false],
])('isDriverLibrary(%s) is %s', (name, expected) => {
  expect(isDriverLibrary(name)).toBe(expected)
})
