import { createHash } from 'node:crypto'
import torchRows from '../../src/compat/tables/torch.json' with { type: 'json' }

/** A file of an index that exists as a description only: a name, a size, a hash made from the name, and metadata. */
export interface FrozenWheel {
  readonly filename: string
  readonly sha256: string
  readonly sizeBytes: number
  readonly metadata: string
}

const TORCH_INDEX = 'https://download.pytorch.org/whl/'
const PYTHONS = ['3.10', '3.11', '3.12', '3.13', '3.14']

/** Project pages by address, as they were on no day: small, made from our own tables, and always the same. */
export function frozenPages(): ReadonlyMap<string, readonly FrozenWheel[]> {
  const pages = new Map<string, FrozenWheel[]>()
  const add = (index: string, name: string, wheels: readonly FrozenWheel[]): void => {
    const url = `${index}${name}/`
    pages.set(url, [...(pages.get(url) ?? []), ...wheels])
  }
  for (const [name, versions] of Object.entries(PURE))
    for (const [version, requires = []] of versions) add(PYPI, name, [pure(name, version, requires)])
  for (const [name, versions] of Object.entries(BINARY))
    for (const [version, requires = []] of versions) add(PYPI, name, binary(name, version, PYTHONS, requires))
  for (const cuda of ['11.7', '11.8', '12.1', '12.4', '12.6', '12.8', '12.9', '13.0'])
    for (const library of NVIDIA) {
      const name = nvidiaName(library, cuda)
      const version = library === 'cudnn' ? `9.10.${cuda.replace('.', '')}.0` : `${cuda}.90`
      add(PYPI, name, [wheel(name, version, 'py3-none-manylinux_2_27_x86_64', [], 300_000_000)])
    }
  addTorch(add)
  const mirrored = [...pages].filter(([url]) => url.startsWith(PYPI))
  for (const [url, wheels] of mirrored) pages.set(url.replace(PYPI, 'https://index.example.test/simple/'), wheels)
  add('https://private.example.test/simple/', 'secret-package', [pure('secret-package', '1.0', ['numpy'])])
  return pages
}

const PYPI = 'https://pypi.org/simple/'
const NVIDIA = ['cuda-runtime', 'cublas', 'cudnn']

function nvidiaName(library: string, cuda: string): string {
  return `nvidia-${library}-cu${cuda.split('.')[0]}`
}

/** What a build for a CUDA version requires. */
function cudaRequirements(cuda: string): string[] {
  return NVIDIA.map((library) =>
    library === 'cudnn'
      ? `${nvidiaName(library, cuda)}==9.10.${cuda.replace('.', '')}.0`
      : `${nvidiaName(library, cuda)}==${cuda}.90`,
  )
}

/** torch and its companions by the tables: a page for each build, and the newest build of each version on PyPI. */
function addTorch(add: (index: string, name: string, wheels: readonly FrozenWheel[]) => void): void {
  const onPypi = new Set<string>()
  for (const row of torchRows.toReversed()) {
    if (row.index === null || Number(row.torch.split('.')[0]) < 2) continue
    const cuda = row.cuda === null || row.cuda === '10.2' ? [] : cudaRequirements(row.cuda)
    const requires = ['filelock', ...cuda, ...(cuda.length === 0 ? [] : ['triton>=3'])]
    const local = `${row.torch}+${row.index}`
    const pins = (version: string): string => `torch==${version}`
    const index = `${TORCH_INDEX}${row.index}/`
    add(index, 'torch', binary('torch', local, row.pythons, requires, 800_000_000))
    add(
      index,
      'torchvision',
      binary('torchvision', `${row.torchvision}+${row.index}`, row.pythons, ['numpy', pins(row.torch)]),
    )
    add(index, 'torchaudio', binary('torchaudio', `${row.torchaudio}+${row.index}`, row.pythons, [pins(row.torch)]))
    if (cuda.length === 0 || onPypi.has(row.torch)) continue
    onPypi.add(row.torch)
    add(PYPI, 'torch', binary('torch', row.torch, row.pythons, requires, 800_000_000))
    add(PYPI, 'torchvision', binary('torchvision', row.torchvision, row.pythons, ['numpy', pins(row.torch)]))
    add(PYPI, 'torchaudio', binary('torchaudio', row.torchaudio, row.pythons, [pins(row.torch)]))
  }
  // Newer than every table: only its own metadata says what it is built for.
  add(PYPI, 'torch', binary('torch', '2.15.0', ['3.12', '3.13', '3.14'], ['filelock', ...cudaRequirements('12.9')]))
}

type Versions = readonly (readonly [version: string, requires?: readonly string[]])[]

const PURE: Readonly<Record<string, Versions>> = {
  pip: [['26.3']],
  setuptools: [['80.9.0']],
  filelock: [['3.20.0']],
  jax: [['0.7.2', ['jaxlib==0.7.2', 'numpy', "jax-cuda12-plugin[with-cuda]==0.7.2 ; extra == 'cuda12'"]]],
  jupyterlab: [['4.2.0', ['tornado']]],
  tornado: [['6.5.2']],
  fastapi: [['0.120.0', ['starlette']]],
  starlette: [['0.49.0']],
  cog: [['0.23.1', ['coglet>=0.23.1']]],
}

const BINARY: Readonly<Record<string, Versions>> = {
  numpy: [['1.26.4'], ['2.1.3'], ['2.3.4']],
  pillow: [['11.0.0'], ['12.0.0']],
  triton: [['3.5.0']],
  jaxlib: [['0.7.2', ['numpy']]],
  'jax-cuda12-plugin': [['0.7.2', cudaRequirements('12.9').map((line) => `${line} ; extra == 'with-cuda'`)]],
  'onnxruntime-gpu': [['1.22.0', ['numpy']]],
  coglet: [['0.23.1']],
  tensorflow: [
    ['2.12.0', ['numpy<2']],
    ['2.16.1', ['numpy<2', ...cudaRequirements('12.1').map((line) => `${line} ; extra == 'and-cuda'`)]],
    ['2.17.0', ['numpy<3', ...cudaRequirements('12.1').map((line) => `${line} ; extra == 'and-cuda'`)]],
  ],
}

function pure(name: string, version: string, requires: readonly string[]): FrozenWheel {
  return wheel(name, version, 'py3-none-any', requires, 500_000)
}

function binary(
  name: string,
  version: string,
  pythons: readonly string[],
  requires: readonly string[],
  sizeBytes = 12_000_000,
): FrozenWheel[] {
  return pythons.flatMap((python) => {
    const tag = `cp${python.replace('.', '')}`
    const platforms = sizeBytes > 100_000_000 ? ['x86_64'] : ['x86_64', 'aarch64']
    return platforms.map((platform) =>
      wheel(name, version, `${tag}-${tag}-manylinux_2_28_${platform}`, requires, sizeBytes),
    )
  })
}

function wheel(
  name: string,
  version: string,
  tag: string,
  requires: readonly string[],
  sizeBytes: number,
): FrozenWheel {
  const filename = `${name.replaceAll('-', '_')}-${version}-${tag}.whl`
  const extras = [...new Set(requires.flatMap((line) => /extra == '([^']+)'/.exec(line)?.[1] ?? []))]
  const metadata = [
    'Metadata-Version: 2.1',
    `Name: ${name}`,
    `Version: ${version}`,
    ...extras.map((extra) => `Provides-Extra: ${extra}`),
    ...requires.map((line) => `Requires-Dist: ${line}`),
    '',
  ].join('\n')
  const sha256 = createHash('sha256').update(filename).digest('hex')
  return { filename, sha256, sizeBytes, metadata }
}
