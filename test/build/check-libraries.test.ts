import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { layerKey, type LayerSpec } from '../../layers/kinds/index.ts'
import { saveNotes } from '../../layers/notes.ts'
import { describeMissingLibraries, findMissingLibraries, LIBRARY_PACKAGES } from '../../src/build/check-libraries.ts'
import { cudaFlavour } from '../../src/build/cuda-libraries.ts'
import { memoryCache, type Cache } from '../../src/core/cache.ts'
import { formatLoaderCache } from '../../src/debian/effects/loader-cache.ts'
import { makeLayer } from '../support/layers.ts'

const wheels: LayerSpec = { kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: [] }
const registration: LayerSpec = { kind: 'debian-registration', architecture: 'amd64', debs: [] }
const library = (path: string, needed: readonly string[]): Record<string, unknown> => ({
  path,
  soname: undefined,
  needed,
  searchPath: ['$ORIGIN/../cv2.libs'],
  cudaArchitectures: [],
})

/** Notes of a layer of wheels with these libraries. */
async function notesOf(libraries: readonly Record<string, unknown>[]): Promise<Cache> {
  const notes = memoryCache()
  const stream = { findings: () => ({ libraries }) } as unknown as Parameters<typeof saveNotes>[1]
  await saveNotes(layerKey(wheels), stream, notes)
  return notes
}

async function check(
  libraries: readonly Record<string, unknown>[],
  specs = [registration, wheels],
  flavour?: string,
): Promise<readonly string[]> {
  const cache = formatLoaderCache(
    [{ soname: 'libc.so.6', path: '/lib/x86_64-linux-gnu/libc.so.6', flags: 0x0303 }],
    'test',
  )
  const layer = await makeLayer({ 'etc/ld.so.cache': cache.toString('latin1') })
  const layers = specs.map(() => layer)
  const missing = await findMissingLibraries({
    specs,
    layers,
    context: {},
    notes: await notesOf(libraries),
    libraryPath: [],
    flavour,
  })
  return describeMissingLibraries(missing)
}

test('a library that nothing brings is named with the package that has it', async () => {
  const path = 'opt/venv/lib/python3.11/site-packages/cv2/cv2.so'
  expect(await check([library(path, ['libc.so.6', 'libGL.so.1'])])).toEqual([
    `\`cv2/cv2.so\` needs libGL.so.1, which nothing in the image has; add \`libgl1\` to build.system_packages`,
  ])
})

test('libraries that system packages bring are told at once, with all packages to add', async () => {
  const site = 'opt/venv/lib/python3.11/site-packages/cv2.libs'
  const lines = await check([
    library(`${site}/libQt5Core.so.5`, ['libgthread-2.0.so.0', 'libglib-2.0.so.0', 'libzbar.so.0']),
    library(`${site}/libQt5Gui.so.5`, ['libGL.so.1', 'libglib-2.0.so.0']),
  ])
  expect(lines).toEqual([
    '`cv2.libs/libQt5Core.so.5` and 1 more of the wheels’ files need libGL.so.1, libglib-2.0.so.0 and libgthread-2.0.so.0, which nothing in the image has; add `libgl1`, `libglib2.0-0` to build.system_packages',
    '`cv2.libs/libQt5Core.so.5` needs libzbar.so.0, which nothing in the image has',
  ])
})

test('plugins that CUDA’s libraries do without are not missed', async () => {
  const site = 'opt/venv/lib/python3.11/site-packages/nvidia'
  expect(
    await check([
      library(`${site}/cufile/lib/libcufile_rdma.so.1`, ['libmlx5.so.1', 'libibverbs.so.1']),
      library(`${site}/nvshmem/lib/nvshmem_bootstrap_pmix.so.3`, ['libpmix.so.2']),
      library(`${site}/cufile/lib/libcufile.so.0`, ['libz.so.1']),
    ]),
  ).toEqual(['`nvidia/cufile/lib/libcufile.so.0` needs libz.so.1, which nothing in the image has'])
})

test('the server in the image knows the same packages', async () => {
  const hints = await readFile(join(import.meta.dirname, '..', '..', 'python', 'launcher', 'hints.py'), 'utf8')
  const pairs = [...hints.matchAll(/^ {4}"(lib[^"]+)": "([^"]+)",$/gm)].map(([, name, owner]) => [name, owner])
  expect(Object.fromEntries(pairs)).toEqual(LIBRARY_PACKAGES)
})

test('what the system, another wheel or the driver brings is not missed', async () => {
  const site = 'opt/venv/lib/python3.11/site-packages'
  expect(
    await check([
      library(`${site}/cv2/cv2.so`, ['libc.so.6', 'libavcodec-1.so', 'libcuda.so.1']),
      library(`${site}/cv2.libs/libavcodec-1.so`, []),
    ]),
  ).toEqual([])
})

test('nothing is told of an existing image whose libraries are not known', async () => {
  expect(await check([library('a/b.so', ['libGL.so.1'])], [wheels])).toEqual([])
})

test('libraries of CUDA are told by the flavour of the image, with the wheel and the flavour that have them', async () => {
  const ort = [
    library('ort/cuda.so', ['libcudart.so.12', 'libcublas.so.12', 'libcudnn.so.9', 'libGL.so.1', 'libcuda.so.1']),
  ]
  const says = (needed: string, wheel: string, flavour: string): string =>
    `\`ort/cuda.so\` needs ${needed}, which nothing in the image has; require the wheel \`${wheel}\` (\`${wheel}-cu12\` for CUDA 12), or state \`build.cuda_flavour: ${flavour}\``
  const cublas = says('libcublas.so.12', 'nvidia-cublas', 'runtime')
  const cudnn = says('libcudnn.so.9', 'nvidia-cudnn', 'cudnn-runtime')
  expect(await check(ort, [wheels], 'base')).toEqual([cublas, cudnn])
  expect(await check(ort, [wheels], 'devel')).toEqual([cudnn])
  expect(await check(ort, [wheels], 'cudnn-devel')).toEqual([])
  // On a composed base the loader's cache tells.
  expect(await check(ort)).toHaveLength(4)
})

test.each([
  ['docker://docker.io/nvidia/cuda:12.8.1-base-ubuntu22.04', 'base'],
  ['docker://mirror.example/cuda:12.8.1-cudnn-runtime-ubuntu22.04', 'cudnn-runtime'],
  ['docker://mirror.example/cuda:11.8.0-cudnn8-devel-ubuntu20.04', 'cudnn-devel'],
  ['docker://python:3.11-slim', undefined],
])('cudaFlavour() of %s', (location, flavour) => {
  expect(cudaFlavour(location)).toBe(flavour)
})
