import { describe, expect, it } from 'vitest'
import { explainMissing } from '../../src/cli/missing-image.ts'
import { BuildError } from '../../src/core/errors.ts'

const unreachable = new BuildError('NETWORK_FAILED', 'No answer', { data: { host: 'x' } })

describe('explainMissing()', () => {
  it('says that a bare name is no local image, and keeps the code', () => {
    expect(explainMissing('cog-model', ['other'], unreachable)).toMatchObject({
      code: 'NETWORK_FAILED',
      message: 'There is no local image `cog-model`, and Docker Hub did not give one',
      hint: expect.stringContaining('layerwright build -t cog-model') as string,
      cause: unreachable,
      data: { host: 'x' },
    })
  })

  it('names the local image that was meant', () => {
    expect(explainMissing('cog-modle', ['cog-model', 'other'], unreachable)).toMatchObject({
      hint: 'Did you mean `cog-model`?',
    })
  })

  it.each(['ghcr.io/a/b', 'localhost:5000/a', 'docker.io/library/debian'])('leaves %s alone', (name) => {
    expect(explainMissing(name, ['a'], unreachable)).toBe(unreachable)
  })

  it('leaves other errors alone', () => {
    const fault = new TypeError('x')
    expect(explainMissing('cog-model', [], fault)).toBe(fault)
    const damaged = new BuildError('STORE_CORRUPT', 'x')
    expect(explainMissing('cog-model', ['cog-model'], damaged)).toBe(damaged)
    const invalid = new BuildError('REFERENCE_INVALID', 'x')
    expect(explainMissing('A B', [], invalid)).toBe(invalid)
  })
})
