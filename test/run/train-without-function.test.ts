import { expect, test } from 'vitest'
import type { Image } from '../../src/image/image.ts'
import { predict } from '../../src/run/predict/predict.ts'

test('a training of an image without a training function starts nothing, and says what to do', async () => {
  const document = { components: { schemas: { Input: { type: 'object', properties: {} } } } }
  const config = { config: { Labels: { 'run.cog.openapi_schema': JSON.stringify(document) } } }
  const image = { config, layers: [] } as unknown as Image
  const request = { image, kind: 'training' as const, inputs: [], folder: '/', log: () => {} }
  const context = { storeFolder: '/nowhere', env: {}, report: () => {} }
  await expect(predict(request, context)).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: 'The image has no training function',
    hint: expect.stringContaining('`train` in cog.yaml'),
  })
})
