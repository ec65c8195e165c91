import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { runCommandLine } from '../../../src/cli/main.ts'
import { serveRegistry, type ServedRegistry } from '../../../registry/server/serve.ts'
import { pushImage } from '../../registry/server/push.ts'
import { recordIo, type RecordedIo } from '../../support/output.ts'

async function deploy(...args: readonly string[]): Promise<{ readonly status: number; readonly io: RecordedIo }> {
  const io = recordIo({ cwd: '/' })
  return { status: await runCommandLine(['deploy', 'kubernetes', ...args], io), io }
}

test('deploy kubernetes prints objects for an image of a registry', async () => {
  const { status, io } = await deploy('docker://ghcr.io/me/my_model:v1', '--memory', '8Gi', '--cpu', '500m')
  expect(status).toBe(0)
  const [deployment, service] = parseAllDocuments(io.stdout.text()).map((one): unknown => one.toJS())
  expect(service).toMatchObject({ kind: 'Service', metadata: { name: 'my-model' } })
  expect(deployment).toMatchObject({
    spec: { template: { spec: { containers: [{ image: 'ghcr.io/me/my_model:v1' }] } } },
  })
  expect(io.stderr.text()).toBe('')
})

test.each([
  [['oci:./image'], 'A cluster can pull no image of this machine: `oci:./image`'],
  [['oci-archive:image.tar'], 'A cluster can pull no image of this machine'],
  [['./image'], 'A cluster can pull no image of this machine'],
  [['ghcr.io/me/3d:v1'], 'Not a name for Kubernetes objects: `3d`'],
  [['ghcr.io/me/a:v1', '--memory', '8 GB'], '--memory is not an amount that Kubernetes knows: `8 GB`'],
  [['ghcr.io/me/a:v1', '--cpu', 'two'], '--cpu is not an amount that Kubernetes knows: `two`'],
  [['ghcr.io/me/a', '--split', 'v1=90,v2=5', '--gateway', 'web'], 'The weights of --split sum up to 95, not to 100'],
  [['ghcr.io/me/a', '--split', 'v1=90,v2=10'], '--split needs the gateway that requests come through'],
  [['ghcr.io/me/a', '--split', 'v1=100', '--gateway', 'a/b/c'], '--gateway is not a name, or a namespace and a name'],
  [['ghcr.io/me/a', '--split', 'v1=100', '--gateway', 'A/web'], '--gateway is not a name, or a namespace and a name'],
  [['ghcr.io/me/a:v1', '--split', 'v1=100', '--gateway', 'web'], 'With --split the image is named without a tag'],
  [['ghcr.io/me/a', '--split', `${'v'.repeat(60)}=100`, '--gateway', 'web'], 'Not a name for Kubernetes objects'],
  [['ghcr.io/me/a', '--split', 'v1=100', '--gateway', 'web', '--queue-secret', 'redis'], 'not for the jobs of a queue'],
  [['ghcr.io/me/a', '--split', 'v1=100', '--gateway', 'web', '--hostname', 'a_b'], "--hostname is not a host's name"],
  [['ghcr.io/me/a', '--gateway', 'web'], '--gateway and --hostname are for the route of --split'],
])('deploy kubernetes refuses %j', async (args, message) => {
  const { status, io } = await deploy(...args)
  expect(status).toBe(2)
  expect(io.stderr.text()).toContain(message)
  expect(io.stdout.text()).toBe('')
})

test('deploy kubernetes warns of a name without a registry', async () => {
  const { status, io } = await deploy('my-model')
  expect(status).toBe(0)
  expect(io.stderr.text()).toContain('A cluster looks for `my-model` at docker.io')
})

describe('deploy kubernetes --split', () => {
  let served: ServedRegistry
  beforeEach(async () => {
    served = await serveRegistry({ port: 0, host: '127.0.0.1', storage: { kind: 'memory' } })
    await pushImage(served.url, 'team/app', 'v1')
    await pushImage(served.url, 'team/app', 'v2')
  })
  afterEach(() => served.close())

  const image = (): string => `${new URL(served.url).host}/team/app`
  const objectsOf = (io: RecordedIo): Record<string, unknown>[] =>
    parseAllDocuments(io.stdout.text()).map((one) => one.toJS() as Record<string, unknown>)
  const imagesOf = (io: RecordedIo): unknown[] =>
    [...io.stdout.text().matchAll(/^\s+- image: (\S+)$/gm)].map(([, name]) => name)
  const digestOf = async (tag: string): Promise<string | null> => {
    const response = await fetch(new URL(`/v2/team/app/manifests/${tag}`, served.url), { method: 'HEAD' })
    return response.headers.get('docker-content-digest')
  }

  test('names every version by its digest, and one route for all', async () => {
    const { status, io } = await deploy(
      image(),
      '--split',
      'v1=90,v2=10',
      '--gateway',
      'edge/web',
      '--hostname',
      'm.example',
    )
    expect([status, io.stderr.text()]).toEqual([0, ''])
    expect(imagesOf(io)).toEqual([`${image()}@${await digestOf('v1')}`, `${image()}@${await digestOf('v2')}`])
    expect(objectsOf(io).map(({ kind, metadata }) => `${String(kind)} ${(metadata as { name: string }).name}`)).toEqual(
      [
        ...['app-v1', 'app-v2'].flatMap((name) => [
          `Deployment ${name}`,
          `Service ${name}`,
          `PodDisruptionBudget ${name}`,
        ]),
        'HTTPRoute app',
      ],
    )
    expect(objectsOf(io).at(-1)).toMatchObject({
      spec: { parentRefs: [{ name: 'web', namespace: 'edge' }], hostnames: ['m.example'] },
    })
  })

  test('takes a digest that is given, for a tag that moved or is gone', async () => {
    const digest = await digestOf('v2')
    const { status, io } = await deploy(image(), '--split', `v0@${digest}=100`, '--gateway', 'web')
    expect([status, imagesOf(io)]).toEqual([0, [`${image()}@${digest}`]])
  })

  test('refuses a version that the registry does not have', async () => {
    const { status, io } = await deploy(image(), '--split', 'v1=90,v3=10', '--gateway', 'web')
    expect([status, io.stdout.text()]).toEqual([3, ''])
    expect(io.stderr.text()).toContain(`The registry has no such version: \`${image()}:v3\``)
  })

  test('keeps tags with a warning where the registry cannot be asked', async () => {
    const name = image()
    await served.close()
    const { status, io } = await deploy(name, '--split', 'v1=100', '--gateway', 'web')
    expect([status, imagesOf(io)]).toEqual([0, [`${name}:v1`]])
    expect(io.stderr.text()).toContain(`\`${name}:v1\` stays a tag, which may move`)
  })
})
