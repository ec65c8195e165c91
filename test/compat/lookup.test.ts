import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CompatError } from '../../src/compat/error.ts'
import { cudaOfIndexUrl } from '../../src/compat/frameworks.ts'
import { findImages, formatImage } from '../../src/compat/images.ts'
import type { EnvironmentChoice, EnvironmentRequest } from '../../src/compat/environment.ts'
import { chooseEnvironment } from '../../src/compat/lookup.ts'
import { minorOf } from '../../src/compat/version.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { asks } from './support.ts'

type Request = Partial<Omit<EnvironmentRequest, 'frameworks'>>

function choose(lines: readonly string[], request: Request = {}): EnvironmentChoice {
  return chooseEnvironment({ gpu: true, ...request, frameworks: lines.map((line) => asks(line)) })
}

function conflictsOf(lines: readonly string[], request: Request = {}): readonly string[] {
  try {
    choose(lines, request)
  } catch (error) {
    if (error instanceof CompatError) return error.conflicts.map((conflict) => `${conflict.key}: ${conflict.message}`)
    throw error
  }
  return []
}

interface CogRow {
  readonly framework: 'torch-gpu' | 'torch-cpu' | 'tensorflow-gpu' | 'cuda-only'
  readonly version: string
  readonly cuda: string
  readonly cudnn: string
  readonly base: string
  readonly index: string
  readonly error: string
}

const rows = JSON.parse(
  readFileSync(join(packageRoot(), 'fixtures/compat/cog-resolved.json'), 'utf8'),
) as readonly CogRow[]

/** Rows where this program decides otherwise, with what it decides and why. */
const DIFFERENCES: Readonly<
  Record<
    string,
    {
      readonly why: string
      readonly cuda?: string
      readonly index?: string
      readonly ubuntu?: string
      readonly error?: string
    }
  >
> = {
  // CUDA 13 needs driver 580: nobody gets it by surprise. Stated driver or CUDA gives it, see below.
  'torch-gpu 2.9.0': { why: 'CUDA 13 only on request', cuda: '12.8', index: 'cu128' },
  'torch-gpu 2.9.1': { why: 'CUDA 13 only on request', cuda: '12.8', index: 'cu128' },
  'torch-gpu 2.10.0': { why: 'CUDA 13 only on request', cuda: '12.8', index: 'cu128' },
  'torch-gpu 2.11.0': { why: 'CUDA 13 only on request', cuda: '12.9', index: 'cu129' },
  // There is no image of CUDA 12.3 with cuDNN 8; the wheels of these releases bring cuDNN themselves.
  'tensorflow-gpu 2.16.1': { why: 'cuDNN comes from the and-cuda wheels', error: '' },
  'tensorflow-gpu 2.17.0': { why: 'cuDNN comes from the and-cuda wheels', error: '' },
}

describe('chooseEnvironment() agrees with Cog', () => {
  it('knows all 106 rows', () => {
    expect(rows).toHaveLength(106)
    expect(
      Object.keys(DIFFERENCES).filter((key) => !rows.some((row) => `${row.framework} ${row.version}` === key)),
    ).toEqual([])
  })

  it.each(rows.map((row) => [`${row.framework} ${row.version}`, row] as const))('on %s', (key, row) => {
    const difference: Partial<(typeof DIFFERENCES)[string]> = DIFFERENCES[key] ?? {}
    const expected = { ...row, ...difference }
    expect(expected.error).toBe('')
    const name = row.framework.startsWith('torch') ? 'torch' : 'tensorflow'
    const lines = row.framework === 'cuda-only' ? [] : [`${name}==${row.version}`]
    const choice = choose(
      lines,
      row.framework === 'cuda-only' ? { cuda: row.version } : { gpu: row.framework !== 'torch-cpu' },
    )
    expect(choice.torchBuild ?? '').toBe(expected.index)
    if (row.framework === 'torch-cpu') {
      expect(choice.cuda).toBeUndefined()
      return
    }
    expect(minorOf(choice.cuda ?? '')).toBe(minorOf(expected.cuda))
    expect(choice.cudnn).toBe(expected.cudnn)
    const images = findImages(choice.cuda ?? '')
    // The flavour follows from the lock; in Cog's own flavour the image is the same.
    if (row.base !== '' && difference.cuda === undefined)
      expect(images && formatImage(images, 'cudnn-devel', choice.ubuntu)).toBe(row.base)
  })

  it.each<readonly [string, readonly string[], Request, Partial<EnvironmentChoice>]>([
    [
      '3: a full torch family',
      ['torch==1.13.1', 'torchvision==0.14.1', 'torchaudio==0.13.1', 'foo==1.0.0'],
      { python: '3.10' },
      { cuda: '11.7.1', cudnn: '8', torchBuild: 'cu117' },
    ],
    [
      '4: an older one',
      ['torch==1.12.1', 'torchvision==0.13.1', 'torchaudio==0.12.1'],
      { python: '3.10' },
      { cuda: '11.6.2', cudnn: '8', torchBuild: 'cu116' },
    ],
    [
      '5: the tag yields to the stated CUDA',
      ['torch==2.7.0+cu118'],
      { cuda: '12.8' },
      { cuda: '12.8.1', torchBuild: 'cu128' },
    ],
    ['9: torch 2.0.1', ['torch==2.0.1'], {}, { cuda: '11.8.0', cudnn: '8', torchBuild: 'cu118' }],
    ['9: torch 1.13.1', ['torch==1.13.1'], {}, { cuda: '11.7.1', cudnn: '8' }],
    ['9: torch 1.11.0', ['torch==1.11.0'], {}, { cuda: '11.3.1', cudnn: '8' }],
    [
      '10: an unknown torch with CUDA stated',
      ['torch==0.4.1'],
      { cuda: '11.8' },
      { cuda: '11.8.0', cudnn: '8', indexes: [] },
    ],
    [
      '11: an unknown TensorFlow with CUDA stated',
      ['tensorflow==0.4.1'],
      { cuda: '11.8' },
      { cuda: '11.8.0', cudnn: '8' },
    ],
    [
      '12: torch on a stated CUDA',
      ['torch==2.0.1', 'torchvision==0.15.2', 'torchaudio==2.0.2', 'foo==1'],
      { cuda: '11.8' },
      { torchBuild: 'cu118' },
    ],
    [
      '13: the same without a GPU',
      ['torch==2.0.1', 'torchvision==0.15.2', 'torchaudio==2.0.2', 'foo==1'],
      { gpu: false, cuda: '11.8' },
      { gpu: false, torchBuild: 'cpu' },
    ],
    [
      '14: TensorFlow on its own CUDA',
      ['tensorflow==2.12.0', 'foo==1'],
      { cuda: '11.8' },
      { cuda: '11.8.0', indexes: [], extras: {} },
    ],
    [
      '15: TensorFlow and torch',
      ['tensorflow==2.16.1', 'torch==2.3.1'],
      { cuda: '12.3' },
      { cuda: '12.3.2', cudnn: '8', torchBuild: 'cu121' },
    ],
    ['16: TensorFlow 2.12', ['tensorflow==2.12.0'], {}, { cuda: '11.8.0', cudnn: '8', ubuntu: '22.04' }],
    ['17: CUDA and cuDNN stated', [], { cuda: '11.6', cudnn: '8' }, { cuda: '11.6.2', cudnn: '8', ubuntu: '20.04' }],
    ['19: the latest cuDNN of a CUDA', [], { cuda: '11.8' }, { cudnn: '8' }],
    [
      '23: torch with other things',
      ['torch==2.0.1'],
      { python: '3.11' },
      { cuda: '11.8.0', torchBuild: 'cu118', python: '3.11' },
    ],
  ])('on pair %s', (_, lines, request, expected) => {
    expect(choose(lines, request)).toMatchObject(expected)
  })

  it('6, 18: an index that the project names for torch wins', () => {
    const url = 'https://wheels.test/whl/cu118/'
    const stated = chooseEnvironment({ gpu: true, cuda: '12.8', frameworks: [asks('torch==2.7.0', url)] })
    expect(stated).toMatchObject({ cuda: '12.8.1', indexes: [] })
    const told = chooseEnvironment({ gpu: true, frameworks: [asks('torch==2.7.0', url)] })
    expect(told).toMatchObject({ cuda: '11.8.0', indexes: [] })
    const kept = chooseEnvironment({
      gpu: true,
      cuda: '11.6.2',
      frameworks: [asks('torch==1.12.1', 'https://wheels.test/whl/cu116')],
    })
    expect(kept).toMatchObject({ cuda: '11.6.2', indexes: [] })
  })

  it.each([
    ['https://wheels.test/whl/cu128/', '12.8'],
    ['https://wheels.test/whl/cu118', '11.8'],
    ['https://wheels.test/whl/cu92', '9.2'],
    ['https://wheels.test/whl/cpu', undefined],
    ['https://wheels.test/whl/rocm6.2', undefined],
  ])('20: %s is for CUDA %s', (url, cuda) => {
    expect(cudaOfIndexUrl(url)).toBe(cuda)
  })

  it('10, 11: an unknown version without a stated CUDA is a conflict', () => {
    expect(conflictsOf(['torch==0.4.1'])).toEqual([
      'torch: It is not known which CUDA version torch 0.4.1 is built for',
    ])
    expect(conflictsOf(['tensorflow==0.4.1'])).toEqual([
      'tensorflow: It is not known which CUDA version tensorflow 0.4.1 is built for',
    ])
  })
})

describe('chooseEnvironment() goes beyond Cog', () => {
  it('takes the newest CUDA 12 when nothing says otherwise, and names what it left', () => {
    const choice = choose([])
    expect(choice).toMatchObject({
      cuda: '12.9.1',
      cudnn: '9',
      ubuntu: '24.04',
      python: '3.12',
      driverFloor: '525.60.13',
      awaitsLock: false,
    })
    expect(choice.reasons.find(({ key }) => key === 'cuda')).toMatchObject({
      value: '12.9',
      rejected: { value: '13.x' },
    })
  })

  it.each([
    ['470', '11.8.0'],
    ['525.60.13', '12.9.1'],
    ['535', '12.9.1'],
    ['580', '13.2.1'],
    ['580.65.06', '13.2.1'],
  ])('takes the newest CUDA of the family that driver %s runs', (minDriver, cuda) => {
    expect(choose([], { minDriver }).cuda).toBe(cuda)
  })

  it('gives CUDA 13 where the driver is stated, or CUDA is', () => {
    expect(choose(['torch==2.9.1'], { minDriver: '580' })).toMatchObject({
      cuda: '13.0.3',
      torchBuild: 'cu130',
      driverFloor: '580.65.06',
    })
    expect(choose(['torch==2.9.1'], { cuda: '13.0' })).toMatchObject({ cuda: '13.0.3', torchBuild: 'cu130' })
  })

  it.each([
    ['torch', 'cu129', '12.9.1'],
    ['torch>=2.4', 'cu129', '12.9.1'],
    ['torch>=2.4,<2.6', 'cu124', '12.4.1'],
    ['torch~=2.5.0', 'cu124', '12.4.1'],
    ['torch<2.2', 'cu121', '12.1.1'],
    ['torchvision==0.22.1', 'cu128', '12.8.1'],
    ['torchaudio==2.5.1', 'cu124', '12.4.1'],
  ])('resolves %s from the newest build that fits: %s', (line, build, cuda) => {
    expect(choose([line])).toMatchObject({ torchBuild: build, cuda })
  })

  it('pins the whole torch family, and nothing else, to the index of the build', () => {
    const [pin, ...others] = choose(['torch==2.7.1', 'torchaudio', 'numpy']).indexes
    expect(others).toEqual([])
    expect(pin).toMatchObject({ packages: ['torch', 'torchvision', 'torchaudio'], sameAsDefault: false })
    expect(pin?.url).toMatch(/\/cu128\/$/)
  })

  it('says where the default index has the same build', () => {
    expect(choose(['torch==2.8.0'], { cuda: '12.8' }).indexes).toMatchObject([{ sameAsDefault: true }])
    expect(choose(['torch==2.8.0']).indexes).toMatchObject([{ sameAsDefault: false }])
    expect(choose(['torch==2.11.0'], { cuda: '13.0' }).indexes).toMatchObject([{ sameAsDefault: true }])
  })

  it.each([
    ['torch==1.13.0', '11.4', '11.4.3', 'cu116', '450.80.02'],
    ['torch==2.9.1', '11.8', '11.8.0', 'cu126', '525.60.13'],
    ['torch>=2.8', '11.8', '11.8.0', 'cu126', '525.60.13'],
  ])('takes the oldest build of %s above a stated CUDA %s, and says so', (line, stated, cuda, torchBuild, floor) => {
    const choice = choose([line], { cuda: stated })
    expect(choice).toMatchObject({ cuda, torchBuild, driverFloor: floor })
    expect(choice.indexes[0]?.url).toContain(`/${torchBuild}/`)
    expect(choice.warnings).toEqual([
      expect.stringMatching(new RegExp(`^torch [0-9.]+ has builds for CUDA .*, all newer than ${stated}: the one for`)),
    ])
  })

  it('refuses a build of torch above a stated CUDA that the oldest driver cannot run', () => {
    expect(conflictsOf(['torch==2.9.1'], { cuda: '11.8', minDriver: '470' })).toEqual([
      'driver: CUDA 12.6 needs driver 525.60.13 or newer; 470 is stated as the oldest',
    ])
  })

  it('takes the newest build that is not newer than the stated CUDA', () => {
    expect(choose(['torch>=2.4'], { cuda: '12.2' })).toMatchObject({ cuda: '12.2.2', torchBuild: 'cu121' })
  })

  it('builds TensorFlow 2.16 and later from their own CUDA wheels', () => {
    expect(choose(['tensorflow==2.17.0'])).toMatchObject({
      cuda: '12.3.2',
      cudnn: '8',
      extras: { tensorflow: ['and-cuda'] },
    })
    expect(choose(['tensorflow[and-cuda]==2.19.0'])).toMatchObject({ cuda: '12.5.1', cudnn: '9', extras: {} })
    expect(choose(['tensorflow==2.15.0'])).toMatchObject({ cuda: '12.2.2', cudnn: '8', extras: {} })
  })

  it('takes a patch release that the tables do not have as its minor release', () => {
    expect(choose(['tensorflow==2.15.1'])).toMatchObject({ cuda: '12.2.2' })
  })

  it('leaves a framework newer than the tables to the lock', () => {
    expect(choose(['torch==2.15.0'])).toMatchObject({ cuda: '12.9.1', indexes: [], awaitsLock: true })
    expect(choose(['tensorflow==2.99.0'])).toMatchObject({ awaitsLock: true, extras: { tensorflow: ['and-cuda'] } })
  })

  it('leaves the CUDA of jax to its extra', () => {
    expect(choose(['jax[cuda12]==0.7.2']).cuda).toBe('12.9.1')
    expect(choose(['jax[cuda13]']).cuda).toBe('13.2.1')
  })

  it('follows the frameworks in the choice of Python', () => {
    expect(choose(['torch==2.0.1'])).toMatchObject({ python: '3.10' })
    expect(choose(['torch==2.9.1']).python).toBe('3.12')
    expect(choose(['torch==1.13.1'], { gpu: false, basePython: '3.11' })).toMatchObject({ python: '3.10' })
    expect(choose(['torch==2.9.1'], { python: '3.14' })).toMatchObject({ python: '3.14', torchBuild: 'cu128' })
  })

  it('refuses CUDA and cuDNN that do not go together', () => {
    expect(conflictsOf([], { cuda: '12.4', cudnn: '8' })).toEqual([
      'cudnn: There is no CUDA 12.4 with cuDNN 8; it comes with cuDNN 9',
    ])
    expect(conflictsOf([], { cuda: '12.7' })).toEqual(['cuda: There is no nvidia/cuda image for CUDA 12.7'])
    expect(conflictsOf(['tensorflow==2.12.0'], { cuda: '12.4' })).toContain(
      'tensorflow: tensorflow 2.12.0 is built for CUDA 11.8, not for 12.4',
    )
  })

  it('needs no image where the base is another', () => {
    expect(choose([], { cuda: '12.7', needsImage: false })).toMatchObject({ cuda: '12.7' })
  })

  it('refuses a driver that is too old', () => {
    expect(conflictsOf(['torch==2.9.1'], { cuda: '13.0', minDriver: '570' })).toEqual([
      'driver: CUDA 13.0.3 needs driver 580.65.06 or newer; 570 is stated as the oldest',
    ])
  })

  it('chooses a build that runs on the stated GPUs', () => {
    expect(choose(['torch==2.8.0'], { architectures: ['6.1'] })).toMatchObject({ torchBuild: 'cu126' })
    expect(choose(['torch==2.7.1'], { architectures: ['12.0'] })).toMatchObject({ torchBuild: 'cu128' })
  })

  it('refuses GPUs that no build runs on', () => {
    expect(conflictsOf(['torch==2.6.0'], { architectures: ['12.0'] })).toEqual([
      'targets: GPU architecture 12.0 (Blackwell (RTX 50)) needs CUDA 12.8 or newer; CUDA 12.6.3 was chosen',
    ])
    expect(conflictsOf(['torch==2.11.0'], { cuda: '13.0', architectures: ['9.0', '11.0'] })).toEqual([
      'targets: torch 2.11.0+cu130 has no code for GPU architecture 11.0 (Blackwell (Thor))',
    ])
    expect(conflictsOf([], { cuda: '13.0', architectures: ['7.0', '9.0'] })).toEqual([
      'targets: CUDA 13 dropped GPU architecture 7.0 (Volta (V100)); CUDA 13.0.3 was chosen',
    ])
  })

  it('reports all conflicts at once', () => {
    expect(
      conflictsOf(['torch==2.9.1'], { cuda: '11.8', cudnn: '9', architectures: ['12.0'], minDriver: '470' }),
    ).toHaveLength(3)
  })

  it('gives a reason for every value', () => {
    const keys = choose(['torch==2.7.1']).reasons.map(({ key }) => key)
    expect(keys).toEqual(expect.arrayContaining(['cuda', 'torch', 'cudnn', 'driver', 'python']))
  })

  it('is plain data', () => {
    const choice = choose(['torch==2.7.1'])
    expect(JSON.parse(JSON.stringify(choice))).toEqual(choice)
  })
})
