import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { makeKubernetesObjects } from '../../src/deploy/kubernetes.ts'
import { fixture, problems, validator } from './schemas.ts'

const base = { image: 'registry.example/team/model@sha256:00', name: 'model', replicas: 2, gpus: 1 }
const queue = { secret: 'redis', address: 'redis:6379', stream: 'jobs', maxReplicas: 4, isTls: false }

describe('makeKubernetesObjects()', () => {
  it('serves an image without privileges on a read-only root, with GPUs', () => {
    const [deployment, service, budget] = makeKubernetesObjects(base)
    expect([deployment, service, budget].map((one) => one?.['kind'])).toEqual([
      'Deployment',
      'Service',
      'PodDisruptionBudget',
    ])
    expect(deployment).toMatchObject({
      spec: {
        replicas: 2,
        template: {
          spec: {
            securityContext: { runAsNonRoot: true },
            containers: [
              {
                image: base.image,
                resources: { limits: { 'nvidia.com/gpu': 1 } },
                securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
              },
            ],
          },
        },
      },
    })
  })

  it('asks for what each pod needs, and lets a GPU pod onto machines that are kept for such', () => {
    const podOf = (options: Parameters<typeof makeKubernetesObjects>[0]): Record<string, unknown> => {
      const deployment = makeKubernetesObjects(options)[0] as unknown as {
        readonly spec: { readonly template: { readonly spec: Record<string, unknown> } }
      }
      return deployment.spec.template.spec
    }
    expect(podOf({ ...base, cpu: '2', memory: '8Gi' })).toMatchObject({
      automountServiceAccountToken: false,
      containers: [
        { resources: { requests: { cpu: '2', memory: '8Gi' }, limits: { memory: '8Gi', 'nvidia.com/gpu': 1 } } },
      ],
      tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
    })
    expect(podOf({ ...base, gpus: 0 })).not.toHaveProperty('tolerations')
    expect(podOf({ ...base, gpus: 0 })['containers']).not.toMatchObject([{ resources: {} }])
  })

  it.each([
    ['registry.example:5000/team/model:v1', undefined, 'v1'],
    ['registry.example/team/model:v1@sha256:00', undefined, 'sha256:00'],
    ['registry.example/team/model@sha256:00', { model: 'model', tag: 'v2' }, 'v2'],
    ['registry.example:5000/team/model', undefined, undefined],
  ])('tells the server of %s its version', (image, version, value) => {
    const found = JSON.stringify(makeKubernetesObjects({ ...base, image, version })[0])
    if (value === undefined) expect(found).not.toContain('LAYERWRIGHT_MODEL_VERSION')
    else expect(found).toContain(`{"name":"LAYERWRIGHT_MODEL_VERSION","value":"${value}"}`)
  })

  it('tells the version by labels, and selects without them, since a selector cannot change', () => {
    const version = { model: 'model', tag: 'v1.2' }
    const [deployment, service, budget] = makeKubernetesObjects({ ...base, name: 'model-v1-2', version })
    const selector = { 'app.kubernetes.io/name': 'model-v1-2' }
    const labels = { ...selector, 'app.kubernetes.io/part-of': 'model', 'app.kubernetes.io/version': 'v1.2' }
    expect(deployment).toMatchObject({ metadata: { labels }, spec: { template: { metadata: { labels } } } })
    expect(deployment).toHaveProperty('spec.selector.matchLabels', selector)
    expect(service).toHaveProperty('spec.selector', selector)
    expect(budget).toHaveProperty('spec.selector.matchLabels', selector)
  })

  it('scales workers by the lag of the group the worker joins, and leaves the number to the scaler', () => {
    const objects = makeKubernetesObjects({ ...base, queue })
    const worker = objects.find((one) => JSON.stringify(one['metadata']).includes('"name":"model-worker","labels"'))
    const scaled = objects.find((one) => one['kind'] === 'ScaledObject')
    expect(worker?.['spec']).not.toHaveProperty('replicas')
    expect(scaled).toMatchObject({
      spec: {
        scaleTargetRef: { name: 'model-worker' },
        minReplicaCount: 0,
        maxReplicaCount: 4,
        triggers: [
          { type: 'redis-streams', metadata: { stream: 'jobs', consumerGroup: 'jobs', lagCount: '1' } },
          { type: 'redis-streams', metadata: { stream: 'jobs', consumerGroup: 'jobs', pendingEntriesCount: '1' } },
        ],
      },
    })
    expect(JSON.stringify(objects)).toContain('"secretKeyRef":{"name":"redis","key":"url"}')
  })

  it('gives the pod longer to end than the launcher takes', () => {
    for (const object of makeKubernetesObjects({ ...base, queue })) {
      if (object['kind'] !== 'Deployment') continue
      expect(object).toMatchObject({ spec: { template: { spec: { terminationGracePeriodSeconds: 40 } } } })
    }
  })

  it('lets the scaler read its user and password from the secret', () => {
    const objects = makeKubernetesObjects({ ...base, queue: secured })
    const scaled = objects.find((one) => one['kind'] === 'ScaledObject')
    const authentication = objects.find((one) => one['kind'] === 'TriggerAuthentication')
    const trigger = { metadata: { enableTLS: 'true' }, authenticationRef: { name: 'model-worker' } }
    expect(scaled).toMatchObject({ spec: { triggers: [trigger, trigger] } })
    expect(authentication).toMatchObject({
      metadata: { name: 'model-worker' },
      spec: {
        secretTargetRef: [
          { parameter: 'username', name: 'redis', key: 'user' },
          { parameter: 'password', name: 'redis', key: 'pass' },
        ],
      },
    })
  })
})

const secured = { ...queue, isTls: true, usernameKey: 'user', passwordKey: 'pass' }
const variants = {
  'a server': base,
  'a server without GPUs': { ...base, gpus: 0 },
  'a server with limits': { ...base, cpu: '500m', memory: '1.5Gi' },
  'a version': { ...base, version: { model: 'model', tag: 'v1' } },
  'a queue': { ...base, queue },
  'a queue with TLS and a password': { ...base, queue: secured },
}

describe.each(Object.entries(variants))('the published schemas take the objects of %s', (_, options) => {
  // As `layerwright deploy kubernetes` prints them and `kubectl apply` reads them.
  const objects = makeKubernetesObjects(options).map((object) => parse(stringify(object)) as Record<string, unknown>)
  const isKeda = (object: Record<string, unknown>) => String(object['apiVersion']).startsWith('keda.sh/')

  it.each(['v1.30', 'v1.37'])('Kubernetes %s', async (version) => {
    const ajv = validator(await fixture(`${version}.json`))
    for (const object of objects.filter((one) => !isKeda(one))) {
      expect(problems(ajv, `#/$defs/${String(object['kind'])}`, object)).toEqual([])
    }
  })

  it('KEDA 2.21', async () => {
    const ajv = validator(await fixture('keda.json'))
    const triggers = (await fixture('keda-redis-streams.json')) as { parameters: readonly Parameter[] }
    for (const object of objects.filter(isKeda)) {
      expect(problems(ajv, `#/$defs/${String(object['kind'])}`, object)).toEqual([])
      const { spec } = object as { spec: { triggers?: readonly { metadata: object }[] } }
      for (const { metadata } of spec.triggers ?? []) {
        const known = triggers.parameters.filter((one) => one.metadataVariableReadable === true).map(({ name }) => name)
        expect(known).toEqual(expect.arrayContaining(Object.keys(metadata)))
      }
    }
  })
})

describe('the published schemas', () => {
  it('refuse what is misspelled or of the wrong type', async () => {
    const [deployment] = makeKubernetesObjects(base)
    const scaled = makeKubernetesObjects({ ...base, queue }).find((one) => one['kind'] === 'ScaledObject')
    const kubernetes = validator(await fixture('v1.37.json'))
    const keda = validator(await fixture('keda.json'))
    const broken = { ...deployment, spec: { ...(deployment?.['spec'] as object), replica: 1 } }
    expect(problems(kubernetes, '#/$defs/Deployment', broken)).not.toEqual([])
    expect(problems(kubernetes, '#/$defs/Deployment', { ...deployment, spec: undefined })).not.toEqual([])
    expect(problems(keda, '#/$defs/ScaledObject', { ...scaled, spec: { triggers: [] } })).not.toEqual([])
    expect(
      problems(keda, '#/$defs/ScaledObject', { ...scaled, spec: { ...(scaled?.['spec'] as object), minReplicas: 0 } }),
    ).not.toEqual([])
  })
})

interface Parameter {
  readonly name: string
  readonly metadataVariableReadable?: boolean
}
