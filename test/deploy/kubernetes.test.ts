import { describe, expect, it } from 'vitest'
import { makeKubernetesObjects } from '../../src/deploy/kubernetes.ts'

const base = { image: 'registry.example/team/model@sha256:00', name: 'model', replicas: 2, gpus: 1 }
const queue = { secret: 'redis', address: 'redis:6379', stream: 'jobs', maxReplicas: 4 }

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
        triggers: [{ type: 'redis-streams', metadata: { stream: 'jobs', consumerGroup: 'jobs' } }],
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
})
