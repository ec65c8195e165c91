import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { checkPlatform } from '../../src/check/check-platform.ts'
import { TARGETS, type ImageFacts } from '../../src/check/contracts.ts'
import { exampleInput } from '../../src/check/example-input.ts'

const document = {
  components: {
    schemas: {
      Input: {
        properties: {
          name: { type: 'string', minLength: 2 },
          image: { type: 'string', format: 'uri' },
          size: { allOf: [{ $ref: '#/components/schemas/size' }] },
          steps: { type: 'integer', minimum: 3 },
          free: { type: 'string' },
        },
        required: ['name', 'image', 'size', 'steps'],
      },
      size: { type: 'integer', enum: [256, 512] },
    },
  },
}

const good: ImageFacts = {
  config: {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [] },
    config: { Labels: { 'com.amazonaws.sagemaker.capabilities.accept-bind-to-port': 'true' } },
  },
  mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
  architecture: 'amd64',
}

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A server that does everything right, but for the paths that are broken. */
async function serve(broken: Readonly<Record<string, number>> = {}): Promise<string> {
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    request.resume().on('end', () => {
      response.statusCode = broken[path] ?? 200
      response.setHeader('content-type', 'application/json')
      const body = path === '/openapi.json' ? document : { output: 1, predictions: [1], outputs: [] }
      response.end(JSON.stringify(body))
    })
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await new Promise((resolve) => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const problems = async (...args: Parameters<typeof checkPlatform>): Promise<readonly (string | undefined)[]> =>
  (await checkPlatform(...args)).flatMap(({ problem }) => problem ?? [])

describe('checkPlatform()', () => {
  it.each(TARGETS)('finds nothing wrong with a server that keeps the contract of %s', async (target) => {
    expect(await problems(target, await serve(), good)).toEqual([])
  })

  it('names the route that does not answer', async () => {
    expect(await problems('sagemaker', await serve({ '/ping': 503 }), good)).toEqual(['it answered 503'])
    expect(await problems('azure', await serve({ '/score': 404 }), good)).toHaveLength(1)
  })

  it('sends what the metadata asks for to the tensor route, and names an answer without tensors', async () => {
    expect(await problems('kserve', await serve({ '/v2/models/model/infer': 404 }), good)).toHaveLength(1)
    expect(await problems('kserve', await serve({ '/v2/models/model/infer': 400 }), good)).toEqual([])
  })

  it('takes a refused example as proof that the route is there', async () => {
    expect(await problems('cloudrun', await serve({ '/predictions': 422 }), good)).toEqual([])
  })

  it('names what is wrong with the image for SageMaker: media type, label, user', async () => {
    const config = { ...good.config, config: { User: '1000' } }
    const image = { ...good, config, mediaType: 'application/vnd.oci.image.manifest.v1+json' }
    expect(await problems('sagemaker', await serve(), image)).toHaveLength(3)
  })

  it('names a server that is not there', async () => {
    expect(await problems('replicate', 'http://127.0.0.1:9', good)).toHaveLength(3)
  })
})

describe('exampleInput()', () => {
  it('fills what is required, and nothing else', () => {
    const image = 'data:text/plain;base64,YQ=='
    expect(exampleInput(document)).toEqual({ name: 'aa', image, size: 256, steps: 3 })
    expect(exampleInput(undefined)).toEqual({})
  })
})
