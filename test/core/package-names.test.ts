import { describe, expect, it } from 'vitest'
import { meantPackage } from '../../src/core/package-names.ts'

describe('meantPackage()', () => {
  it.each([
    ['sklearn', 'scikit-learn'],
    ['cv2', 'opencv-python-headless'],
    ['pytorch', 'torch'],
    ['nunpy', 'numpy'],
    ['transfomers', 'transformers'],
    ['scikitlearn', 'scikit-learn'],
    ['torch', undefined],
    ['numpy', undefined],
    ['our-private-package', undefined],
    ['constructor', undefined],
  ])('%s: %s', (name, meant) => {
    expect(meantPackage(name)).toBe(meant)
  })
})
