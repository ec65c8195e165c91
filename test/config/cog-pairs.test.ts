import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/issue.ts'
import { defaultImageName } from '../../src/config/image-name.ts'
import { parseConfig } from '../../src/config/load.ts'

/** Codes of all errors. */
function errors(text: string): readonly string[] {
  try {
    parseConfig(text)
    return []
  } catch (error) {
    if (error instanceof ConfigError)
      return error.issues.filter(({ severity }) => severity === 'error').map(({ code }) => code)
    throw error
  }
}

describe("pairs out of Cog's own tests", () => {
  it.each([
    ['12.4', []],
    ['11.0', []],
    ['12.4.1', []],
    ['11-2', ['invalid-value']],
    ['11', ['invalid-value']],
    ['9.1', ['unsupported-version']],
    ['11.A', ['invalid-value']],
  ])('1: cuda %s', (cuda, expected) => {
    expect(errors(`build: {gpu: true, cuda: "${cuda}"}`)).toEqual(expected)
  })

  it('2: packages and requirements cannot stand together', () => {
    expect(errors('build: {python_packages: [a], python_requirements: r.txt}')).toEqual(['exclusive-keys'])
  })

  it.each([
    ['0.18.0', []],
    ['0.18.0a1', []],
    ['prerelease', []],
    ['0.15.0', ['unsupported-version']],
    ['latest', ['invalid-value']],
  ])('25: sdk_version %s', (version, expected) => {
    expect(errors(`build: {sdk_version: "${version}"}`)).toEqual(expected)
  })

  it.each([
    ['NAME=VALUE', []],
    ['NAME=VALUE WITH SPACES', []],
    ['NAME=VALUE=WITH=EQUALS', []],
    ['NAME=', []],
    ['_NAME=1', []],
    ['name=1', []],
    ['NAME', ['invalid-value']],
    ['=VALUE', ['invalid-value']],
    ['1NAME=VALUE', ['invalid-value']],
    ['NA ME=VALUE', ['invalid-value']],
    ['NA-ME=VALUE', ['invalid-value']],
    ['PATH=/x', ['reserved-variable']],
    ['LD_LIBRARY_PATH=/x', ['reserved-variable']],
    ['PYTHONPATH=/x', ['reserved-variable']],
    ['VIRTUAL_ENV=/x', ['reserved-variable']],
    ['PYTHONUNBUFFERED=0', ['reserved-variable']],
    ['R8_X=1', ['reserved-variable']],
    ['REPLICATE_X=1', ['reserved-variable']],
    ['LIBRARY_PATH=/x', ['reserved-variable']],
    ['CUDA_VISIBLE_DEVICES=0', ['reserved-variable']],
    ['NVIDIA_REQUIRE_CUDA=x', ['reserved-variable']],
    ['NV_X=1', ['reserved-variable']],
    ['PGET_X=1', ['reserved-variable']],
    ['HF_ENDPOINT=x', ['reserved-variable']],
    ['HF_HUB_ENABLE_HF_TRANSFER=1', ['reserved-variable']],
    ['KUBERNETES_PORT=1', ['reserved-variable']],
    ['HF_HOME=/x', []],
    ['PATHS=/x', []],
  ])('environment %s', (text, expected) => {
    expect(errors(`environment: [${JSON.stringify(text)}]`)).toEqual(expected)
  })

  it.each([
    ['name: a/b', 'invalid-value'],
    ['name: A', 'invalid-value'],
    ['target: rel', 'invalid-value'],
    ['target: /', 'invalid-value'],
    ['source: []', 'invalid-value'],
    ['source: {uri: "s3://b"}', 'invalid-value'],
    ['source: {uri: a, include: ["!x"]}', 'invalid-value'],
    ['source: {uri: a, exclude: ["a\\\\b"]}', 'invalid-value'],
    ['source: {uri: a, include: [""]}', 'invalid-value'],
  ])('weights with %s are refused', (wrong, code) => {
    const entry: Record<string, string> = { name: 'name: w', target: 'target: /src/w', source: 'source: {uri: a}' }
    entry[wrong.split(':')[0] ?? ''] = wrong
    expect(errors(`model: r.test/m\nweights: [{${Object.values(entry).join(', ')}}]`)).toContain(code)
  })

  it('weights have names and folders of their own', () => {
    const entry = (name: string, target: string): string => `{name: ${name}, target: ${target}, source: {uri: a}}`
    expect(errors(`weights: [${entry('a', '/w')}, ${entry('a', '/x')}]`)).toContain('duplicate-weights')
    expect(errors(`weights: [${entry('a', '/w')}, ${entry('b', '/w/')}]`)).toContain('duplicate-weights')
    expect(errors(`weights: [${entry('a', '/w')}, ${entry('b', '/w/in')}]`)).toContain('duplicate-weights')
    expect(errors(`weights: [${entry('a', '/w')}, ${entry('b', '/wide')}]`)).not.toContain('duplicate-weights')
  })

  it.each([
    ['registry.test/team/model', []],
    ['model', []],
    ['registry.test:5000/model', []],
    ['registry.test/model:v1', ['invalid-reference']],
    ['registry.test/model@sha256:aa', ['invalid-reference']],
    ['Team/Model', ['invalid-reference']],
  ])('model %s', (model, expected) => {
    expect(errors(`model: ${model}`)).toEqual(expected)
  })
})

describe('defaultImageName()', () => {
  it.each([
    ['/home/joe/foo', 'cog-foo'],
    ['/home/joe/Foo', 'cog-foo'],
    ['/home/joe/cog-foo', 'cog-foo'],
    ['/home/joe/my very own model of everything', 'cog-my-very-own-model-of-every'],
    ['/home/joe/a--b__c..d', 'cog-a-b__c.d'],
    ['/', 'cog-model'],
    ['/home/joe/日本', 'cog-model'],
  ])('%s is %s', (folder, name) => {
    expect(defaultImageName(folder)).toBe(name)
  })

  it('is always an image name', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const image = defaultImageName(`/home/joe/${name.replaceAll('/', '')}`)
        expect(image).toMatch(/^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$/)
        expect(image.length).toBeLessThanOrEqual(30)
      }),
    )
  })
})
