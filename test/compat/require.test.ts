import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cudaOfDriver, compareDrivers, driverFloor, releaseDriver, runsFamily } from '../../src/compat/drivers.ts'
import { evaluateRequirement, requireCuda, requireDriver } from '../../src/compat/require.ts'
import { packageRoot } from '../../src/core/package-root.ts'

const images = JSON.parse(readFileSync(join(packageRoot(), 'fixtures/compat/cuda-require.json'), 'utf8')) as readonly {
  cuda: string
  require: string
}[]

describe('requireCuda()', () => {
  it.each(images.map(({ cuda, require }) => [cuda, require] as const))(
    'is what the images of CUDA %s have',
    (cuda, require) => {
      expect(requireCuda(cuda)).toBe(require)
    },
  )

  it('takes a patch release that is not known as the last known one', () => {
    expect(requireCuda('12.8.1')).toBe(requireCuda('12.8.0'))
    expect(requireCuda('99.1.0')).toBeUndefined()
  })
})

describe('evaluateRequirement()', () => {
  const cuda124 = requireCuda('12.4.1') ?? ''
  it.each<readonly [string, string, string | undefined, boolean]>([
    [cuda124, '550.54.14', 'geforce', true],
    [cuda124, '570.26', undefined, true],
    [cuda124, '535.104.05', 'geforce', true],
    [cuda124, '535.104.05', 'grid', false],
    [cuda124, '545.23.08', 'tesla', false],
    [cuda124, '470.82.01', 'tesla', true],
    [cuda124, '460.32.03', 'tesla', false],
    [requireDriver('525.60.13'), '525.60.13', undefined, true],
    [requireDriver('525.60.13'), '520.61.05', undefined, false],
    ['', '1.0', undefined, true],
    ['unknown>=3,driver>=500', '510.47.03', undefined, true],
    ['cuda>=99 driver<500', '470.82.01', undefined, true],
    ['brand!=tesla', '470.82.01', 'geforce', true],
    ['arch>=8.0', '535.104.05', undefined, false],
  ])('%s with driver %s and brand %s: %s', (requirement, driver, brand, satisfied) => {
    expect(evaluateRequirement(requirement, { driver, brand }).satisfied).toBe(satisfied)
  })

  it('refuses a term without an operator', () => {
    expect(() => evaluateRequirement('cuda', { driver: '535.54.03' })).toThrow(RangeError)
  })
})

describe('drivers', () => {
  it.each([
    ['11.8', '450.80.02', '520.61.05'],
    ['12.0', '525.60.13', '525.60.13'],
    ['12.8', '525.60.13', '570.26'],
    ['13.0', '580.65.06', '580.65.06'],
    ['13.2', '580.65.06', '595.45.04'],
  ])('CUDA %s runs from %s on and came with %s', (cuda, floor, release) => {
    expect(driverFloor(cuda)).toBe(floor)
    expect(releaseDriver(cuda)).toBe(release)
  })

  it.each([
    ['535.104.05', '12.2'],
    ['525.60.13', '12.0'],
    ['570.124.06', '12.8'],
    ['999.1', '13.2'],
    ['400.1', undefined],
  ])('driver %s is of CUDA %s', (driver, cuda) => {
    expect(cudaOfDriver(driver)).toBe(cuda)
  })

  it('takes a branch alone as the newest of the branch', () => {
    expect(compareDrivers('525', '525.60.13')).toBeGreaterThan(0)
    expect(runsFamily('580', '13')).toBe(true)
    expect(runsFamily('575', '13')).toBe(false)
    expect(runsFamily('580', '14')).toBe(false)
  })
})
