import { expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { runCommandLine } from '../../../src/cli/main.ts'
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
