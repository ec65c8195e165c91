import { describe, expect, it } from 'vitest'
import { runsOn } from '../../src/compat/architectures.ts'
import { CompatError } from '../../src/compat/error.ts'
import { chooseFlavour, type FlavourWheel } from '../../src/compat/flavour.ts'
import { cudaFromLock, settleEnvironment, type WheelFact } from '../../src/compat/from-lock.ts'
import { findImages, formatImage } from '../../src/compat/images.ts'
import type { EnvironmentRequest } from '../../src/compat/environment.ts'
import { chooseEnvironment } from '../../src/compat/lookup.ts'
import { asks } from './support.ts'

/** `name version` per wheel. */
function wheels(...lines: readonly string[]): readonly WheelFact[] {
  return lines.map((line) => {
    const [name = '', version = '1.0'] = line.split(' ')
    return { name, version }
  })
}

describe('cudaFromLock()', () => {
  it.each<readonly [string, readonly string[], { cuda: string; cudnn?: string } | undefined]>([
    [
      'torch 2.8',
      ['torch 2.8.0', 'nvidia-cuda-runtime-cu12 12.8.90', 'nvidia-cudnn-cu12 9.10.2.21'],
      { cuda: '12.8', cudnn: '9.10.2.21' },
    ],
    [
      'torch 2.15',
      ['torch 2.15.0', 'cuda-toolkit 13.2.0', 'nvidia-cuda-runtime 13.2.51', 'nvidia-cudnn-cu13 9.26.0.1'],
      { cuda: '13.2', cudnn: '9.26.0.1' },
    ],
    ['torch 1.13', ['nvidia-cublas-cu11 11.10.3.66', 'nvidia-cuda-runtime-cu11 11.7.99'], { cuda: '11.7' }],
    ['a placeholder', ['nvidia-cuda-runtime 0.0.1a0', 'nvidia-cublas-cu12 12.4.5.8'], { cuda: '12' }],
    ['xgboost', ['nvidia-nccl-cu12 2.28'], { cuda: '12' }],
    ['no CUDA', ['numpy 2.0'], undefined],
  ])('reads it from the wheels of %s', (_, lines, expected) => {
    const found = cudaFromLock(wheels(...lines))
    if (expected === undefined) expect(found).toBeUndefined()
    else expect(found).toMatchObject(expected)
  })
})

describe('settleEnvironment()', () => {
  const request: EnvironmentRequest = { gpu: true, frameworks: [asks('torch==2.15.0')] }
  const cu13 = wheels('torch 2.15.0', 'cuda-toolkit 13.2.0')

  it('moves the base to the family of the wheels, on the same release', () => {
    const settled = settleEnvironment(chooseEnvironment(request), request, cu13)
    expect(settled).toMatchObject({ cuda: '13.2.1', ubuntu: '24.04', driverFloor: '580.65.06', awaitsLock: false })
    expect(settled.reasons.find(({ key }) => key === 'cuda')?.reason).toBe('cuda-toolkit 13.2.0 is in the lock')
  })

  it('keeps the base within a family', () => {
    const choice = chooseEnvironment(request)
    expect(settleEnvironment(choice, request, wheels('nvidia-cuda-runtime-cu12 12.4.127'))).toEqual({
      ...choice,
      awaitsLock: false,
    })
  })

  it('keeps a stated CUDA for the base, asks for the driver of the wheels, and says so', () => {
    const asked = { ...request, cuda: '12.8' }
    const settled = settleEnvironment(chooseEnvironment(asked), asked, cu13)
    expect(settled).toMatchObject({ cuda: '12.8.1', driverFloor: '580.65.06', awaitsLock: false })
    expect(settled.warnings).toEqual([
      expect.stringMatching(/^The wheels bring CUDA 13\.2 \(cuda-toolkit 13\.2\.0\), but CUDA 12\.8 is stated/),
    ])
  })

  it('says once that torch is of another family than the stated CUDA', () => {
    const asked: EnvironmentRequest = { gpu: true, cuda: '11.8', frameworks: [asks('torch==2.9.1')] }
    const choice = chooseEnvironment(asked)
    expect(settleEnvironment(choice, asked, wheels('nvidia-cuda-runtime-cu12 12.6.77'))).toEqual(choice)
    expect(choice.warnings).toHaveLength(1)
  })

  it('refuses wheels that the stated driver or GPUs cannot run', () => {
    const settle = (more: Partial<EnvironmentRequest>) => () => {
      const asked = { ...request, ...more }
      return settleEnvironment(chooseEnvironment(asked), asked, cu13)
    }
    expect(settle({ cuda: '12.8', minDriver: '535' })).toThrow(CompatError)
    expect(settle({ minDriver: '535' })).toThrow(/needs driver 580.65.06; 535 is stated/)
    expect(settle({ architectures: ['7.0'] })).toThrow(/dropped GPU architecture 7.0/)
  })
})

describe('chooseFlavour()', () => {
  it.each<readonly [string, readonly FlavourWheel[], string, readonly string[]]>([
    [
      'torch with its wheels',
      wheels('torch 2.8.0', 'nvidia-cublas-cu12 12.8', 'triton 3.4.0'),
      'base',
      ['gcc', 'libc6-dev'],
    ],
    ['nothing at all', [], 'base', []],
    ['onnxruntime-gpu alone', wheels('onnxruntime-gpu 1.22.0'), 'cudnn-runtime', []],
    [
      'onnxruntime-gpu with its wheels',
      wheels(
        'onnxruntime-gpu 1.22.0',
        ...['cuda-runtime', 'cublas', 'cufft', 'curand', 'cudnn', 'cuda-nvrtc'].map(
          (part) => `nvidia-${part}-cu12 12.0`,
        ),
      ),
      'base',
      [],
    ],
    ['faster-whisper', wheels('faster-whisper 1.2', 'ctranslate2 4.6'), 'cudnn-runtime', []],
    ['TensorFlow before and-cuda', wheels('tensorflow 2.12.0'), 'cudnn-runtime', []],
    ['cupy', wheels('cupy-cuda12x 13.6'), 'devel', []],
    ['cupy with the headers', wheels('cupy-cuda12x 13.6', 'nvidia-cuda-runtime-cu12 12.8'), 'runtime', []],
    ['flashinfer', wheels('flashinfer-python 0.2', 'nvidia-cublas-cu12 12'), 'devel', []],
    [
      'a library that was looked into',
      [{ name: 'mine', version: '1', needed: ['libcublas.so.12', 'libc.so.6', 'libcuda.so.1'] }],
      'runtime',
      [],
    ],
    [
      'a library that brings what it needs',
      [{ name: 'mine', version: '1', needed: ['libcublas.so.12'], provides: ['libcublas.so.12'] }],
      'base',
      [],
    ],
  ])('for %s', (_, locked, flavour, packages) => {
    const choice = chooseFlavour({ wheels: locked })
    expect(choice).toMatchObject({ flavour, systemPackages: packages })
    expect(choice.reasons.find(({ key }) => key === 'flavour')?.value).toBe(flavour)
  })

  it('obeys what is stated', () => {
    expect(chooseFlavour({ stated: 'cudnn-devel', wheels: [] }).flavour).toBe('cudnn-devel')
  })

  it('takes devel to compile', () => {
    expect(chooseFlavour({ wheels: [], sources: ['flash-attn'] }).flavour).toBe('devel')
    expect(chooseFlavour({ wheels: [], sources: ['plain-package'] }).flavour).toBe('base')
  })
})

describe('formatImage()', () => {
  it.each([
    ['12.8', 'base', undefined, 'nvidia/cuda:12.8.1-base-ubuntu24.04'],
    ['12.8', 'cudnn-runtime', '22.04', 'nvidia/cuda:12.8.1-cudnn-runtime-ubuntu22.04'],
    ['12.1', 'cudnn-runtime', undefined, 'nvidia/cuda:12.1.1-cudnn8-runtime-ubuntu22.04'],
    ['12.3', 'cudnn-devel', undefined, 'nvidia/cuda:12.3.2-cudnn9-devel-ubuntu22.04'],
    ['11.8', 'runtime', '20.04', 'nvidia/cuda:11.8.0-runtime-ubuntu20.04'],
  ] as const)('CUDA %s %s on %s', (cuda, flavour, ubuntu, expected) => {
    const images = findImages(cuda)
    expect(images && formatImage(images, flavour, ubuntu)).toBe(expected)
  })
})

describe('runsOn()', () => {
  it.each([
    [['8.0'], undefined, '8.6', true],
    [['8.6'], undefined, '8.0', false],
    [['8.0'], undefined, '9.0', false],
    [['8.0'], '8.0', '12.0', true],
    [['12.0'], '12.0', '9.0', false],
  ] as const)('code for %s with PTX %s on %s: %s', (capabilities, ptx, capability, expected) => {
    expect(runsOn({ capabilities, ptx }, capability)).toBe(expected)
  })
})
