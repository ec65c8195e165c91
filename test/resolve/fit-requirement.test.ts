import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { formatRequirement, parseRequirement } from '../../src/python/requirement.ts'
import { answerEnvironment } from '../../src/resolve/environment.ts'
import { fitRequirement } from '../../src/resolve/fit-requirement.ts'

/** What requirement lines become under a configuration, with the build of torch. */
function fit(build: string, ...lines: readonly string[]): readonly (string | undefined)[] {
  const { config } = parseConfig(`build: {${build}}`)
  const roots = lines.map((line) => ({ requirement: parseRequirement(line) }))
  const { choice } = answerEnvironment(config, roots)
  return [choice.torchBuild, ...roots.map((root) => formatRequirement(fitRequirement(root, choice).requirement))]
}

describe('fitRequirement()', () => {
  it.each<readonly [string, readonly string[], readonly (string | undefined)[]]>([
    ['gpu: true, cuda: "12.8"', ['torch==2.7.0+cu118'], ['cu128', 'torch==2.7.0']],
    [
      'gpu: true',
      ['torch==2.7.0+cu118', 'torchvision==0.22.0+cu118'],
      ['cu118', 'torch==2.7.0', 'torchvision==0.22.0'],
    ],
    ['gpu: false', ['torch==2.7.1+cu128 ; python_version >= "3.9"'], ['cpu', 'torch==2.7.1; python_version >= "3.9"']],
    ['gpu: true', ['torch>=2.4,<2.6'], ['cu124', 'torch<2.6,>=2.4']],
    ['gpu: true', ['tensorflow==2.17.0'], [undefined, 'tensorflow[and-cuda]==2.17.0']],
    ['gpu: true', ['numpy==2.0+local'], [undefined, 'numpy==2.0+local']],
  ])('under {%s} makes of %j %j', (build, lines, expected) => {
    expect(fit(build, ...lines)).toEqual(expected)
  })

  it.each([
    ['python_index: {url: "https://wheels.test/simple/"}', undefined],
    ['', 'https://wheels.test/simple/'],
  ])('takes torch from the index that the project names when there is no GPU', (build, indexUrl) => {
    const { config } = parseConfig(`build: {${build}}`)
    const roots = [{ requirement: parseRequirement('torch==2.7.1') }]
    const { choice } = answerEnvironment(config, roots, indexUrl)
    expect(choice).toMatchObject({ gpu: false, indexes: [] })
    expect(choice.torchBuild).toBeUndefined()
    expect(choice.reasons.find(({ key }) => key === 'torch')?.reason).toContain('an index that is named wins')
    // A table says more of a GPU than an index that mirrors the default one.
    const gpu = answerEnvironment(parseConfig(`build: {gpu: true}`).config, roots, 'https://wheels.test/simple/')
    expect(gpu.choice.torchBuild).toBe('cu128')
  })

  it('leaves a pin to the index that the project names for torch', () => {
    const index = 'python_index: {packages: {torch: "https://wheels.test/whl/cu118/"}}'
    expect(fit(`gpu: true, ${index}`, 'torch==2.7.0+cu118')).toEqual([undefined, 'torch==2.7.0+cu118'])
  })
})
