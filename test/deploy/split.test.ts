import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { digestOf } from '../../src/core/digest.ts'
import { makeSplitObjects, parseSplit, type SplitOptions } from '../../src/deploy/split.ts'
import { codeBlocks } from '../support/code-blocks.ts'
import { fixture, problems, validator } from './schemas.ts'

const digest = digestOf(Buffer.of())
const options: SplitOptions = {
  name: 'model',
  replicas: 2,
  gpus: 0,
  versions: [
    { tag: 'v1', digest: undefined, weight: 90, image: `registry.example/team/model@${digest}` },
    { tag: 'v2.0', digest: undefined, weight: 10, image: 'registry.example/team/model:v2.0' },
  ],
  gateway: { name: 'web', namespace: undefined },
  hostnames: [],
}

describe('parseSplit()', () => {
  it.each([
    ['v1=100', [{ tag: 'v1', digest: undefined, weight: 100 }]],
    [
      'v1=0, 2024-05-01.Final=100',
      [
        { tag: 'v1', digest: undefined, weight: 0 },
        { tag: '2024-05-01.Final', digest: undefined, weight: 100 },
      ],
    ],
    [
      `v1@${digest}=90,v2=10`,
      [
        { tag: 'v1', digest, weight: 90 },
        { tag: 'v2', digest: undefined, weight: 10 },
      ],
    ],
  ])('reads %s', (text, versions) => expect(parseSplit(text)).toEqual(versions))

  it.each([
    ['', 'Not a version with its weight: ``'],
    ['v1', 'Not a version with its weight: `v1`'],
    ['v1=90,', 'Not a version with its weight: ``'],
    ['=100', 'Not a version with its weight: `=100`'],
    ['v1=90%,v2=10%', 'Not a version with its weight: `v1=90%`'],
    ['v1=-10,v2=110', 'Not a version with its weight: `v1=-10`'],
    ['v1=99.5,v2=0.5', 'Not a version with its weight: `v1=99.5`'],
    ['v1=1e2', 'Not a version with its weight: `v1=1e2`'],
    ['v1=80,v2=10', 'The weights of --split sum up to 90, not to 100: `v1=80,v2=10`'],
    ['v1=90,v2=20', 'The weights of --split sum up to 110, not to 100'],
    ['v1=50,v1=50', '--split names a version twice: `v1`'],
    ['v1.2=50,V1-2=50', 'Two versions would share the name `v1-2`: `v1.2,V1-2`'],
    ['_v1=100', 'Kubernetes takes no such name of a version: `_v1`'],
    [`${'v'.repeat(64)}=100`, 'Kubernetes takes no such name of a version'],
    ['v1@sha256:0=100', 'Not a digest: `sha256:0`'],
    [Array.from({ length: 20 }, (_, at) => `v${at}=5`).join(','), '--split takes up to 15 versions: 20'],
  ])('refuses %s', (text, message) => expect(() => parseSplit(text)).toThrow(message))
})

describe('makeSplitObjects()', () => {
  it('gives each version objects of its own name, with labels that tell model and version', () => {
    const servers = makeSplitObjects(options).slice(0, -1)
    expect(servers.map(({ kind, metadata }) => [kind, metadata])).toEqual(
      options.versions.flatMap(({ tag }) => {
        const name = `model-${tag.replace('.', '-')}`
        const labels = {
          'app.kubernetes.io/name': name,
          'app.kubernetes.io/part-of': 'model',
          'app.kubernetes.io/version': tag,
        }
        return ['Deployment', 'Service', 'PodDisruptionBudget'].map((kind) => [kind, { name, labels }])
      }),
    )
    expect(servers[3]).toMatchObject({
      spec: { replicas: 2, template: { spec: { containers: [{ image: 'registry.example/team/model:v2.0' }] } } },
    })
  })

  it('routes by the header first, and by weight whoever sends none', () => {
    expect(makeSplitObjects(options).at(-1)).toEqual({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'model', labels: { 'app.kubernetes.io/part-of': 'model' } },
      spec: {
        parentRefs: [{ name: 'web' }],
        rules: [
          {
            matches: [{ headers: [{ name: 'x-model-version', value: 'v1' }] }],
            backendRefs: [{ name: 'model-v1', port: 80 }],
          },
          {
            matches: [{ headers: [{ name: 'x-model-version', value: 'v2.0' }] }],
            backendRefs: [{ name: 'model-v2-0', port: 80 }],
          },
          {
            backendRefs: [
              { name: 'model-v1', port: 80, weight: 90 },
              { name: 'model-v2-0', port: 80, weight: 10 },
            ],
          },
        ],
      },
    })
  })

  it('names a service for every backend, and a backend for every version', () => {
    const objects = makeSplitObjects(options)
    const services = objects.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata)
    const backends = new Set(
      [...JSON.stringify(objects.at(-1)).matchAll(/"name":"(model-[^"]+)"/g)].map(([, one]) => one),
    )
    expect(services.map((one) => (one as { name: string }).name)).toEqual([...backends])
  })
})

it('the guide shows the route that is printed', async () => {
  const guide = await readFile(new URL('../../docs/guide/deploying.md', import.meta.url), 'utf8')
  const shown = codeBlocks(guide).find(({ text }) => text.includes('kind: HTTPRoute'))
  const versions = parseSplit('v1=90,v2=10').map((one) => ({ ...one, image: 'a.example/b' }))
  const gateway = { name: 'my-gateway', namespace: undefined }
  expect(parse(shown?.text ?? '')).toEqual(makeSplitObjects({ ...options, versions, gateway }).at(-1))
})

describe.each(['gateway-v1.0.json', 'gateway-v1.6.json'])('the published schema %s', (file) => {
  const routeOf = (more: Partial<SplitOptions> = {}): unknown =>
    parse(stringify(makeSplitObjects({ ...options, ...more }).at(-1)))
  const manyVersions = parseSplit(Array.from({ length: 15 }, (_, at) => `v${at}=${at === 0 ? 86 : 1}`).join(','))

  it.each([
    ['weights', {}],
    [
      'a gateway elsewhere and hosts',
      { gateway: { name: 'web', namespace: 'edge' }, hostnames: ['m.example', '*.m.example'] },
    ],
    ['as many versions as a route takes', { versions: manyVersions.map((one) => ({ ...one, image: 'a.example/b' })) }],
  ])('takes a route with %s', async (_, more) => {
    expect(problems(validator(await fixture(file)), '#/$defs/HTTPRoute', routeOf(more))).toEqual([])
  })

  it.each([
    ['a weight that is a text', (text: string) => text.replace('"weight":90', '"weight":"90"')],
    ['a misspelled key', (text: string) => text.replace('"backendRefs"', '"backends"')],
    ['a name of a header that is none', (text: string) => text.replace('x-model-version', 'x model')],
    ['one rule too many', (text: string) => text.replace('"rules":[', `"rules":[${'{},'.repeat(14)}`)],
  ])('refuses %s', async (_, spoil) => {
    const route = JSON.parse(spoil(JSON.stringify(routeOf()))) as unknown
    expect(problems(validator(await fixture(file)), '#/$defs/HTTPRoute', route)).not.toEqual([])
  })
})
