import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { checkPlatform, type CheckedServer } from '../../src/check/check-platform.ts'
import { TARGETS } from '../../src/check/contracts.ts'
import { drains } from '../../src/check/lifecycle.ts'
import type { ImageFacts } from '../../src/check/rule.ts'
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
afterAll(() => {
  for (const server of servers) server.close()
})

/** How a server is bad. */
interface Faults {
  /** Status by path. */
  readonly statuses?: Readonly<Record<string, number>>
  readonly host?: string
  readonly onTerm?: 'ignore' | 'break'
  readonly exitStatus?: number
  readonly predictionMs?: number
}

/** A server that does everything right, but for its faults. */
async function serve({ statuses = {}, host = '0.0.0.0', onTerm, exitStatus = 0, predictionMs = 0 }: Faults = {}) {
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    request.resume().on('end', () => {
      response.statusCode = statuses[path] ?? 200
      response.setHeader('content-type', 'application/json').setHeader('connection', 'close')
      const body = path === '/openapi.json' ? document : { output: 1, predictions: [1], outputs: [] }
      setTimeout(() => response.end(JSON.stringify(body)), request.method === 'POST' ? predictionMs : 0)
    })
  }).listen(0, host)
  servers.push(server)
  await new Promise((resolve) => server.once('listening', resolve))
  let end: (status: number) => void = () => undefined
  const exit = new Promise<number>((resolve) => (end = resolve))
  const kill: CheckedServer['kill'] = () => {
    if (onTerm === 'ignore') return
    server.close(() => end(exitStatus))
    if (onTerm === 'break') server.closeAllConnections()
    else server.closeIdleConnections()
  }
  return { port: (server.address() as AddressInfo).port, exit, kill }
}

const problems = async (...args: Parameters<typeof checkPlatform>): Promise<readonly (string | undefined)[]> =>
  (await checkPlatform(...args)).flatMap(({ problem }) => problem ?? [])

// They wait for timers most of the time, each with a server of its own.
describe.concurrent('checkPlatform()', () => {
  it.each(TARGETS)('finds nothing wrong with a server that keeps the contract of %s', async (target) => {
    expect(await problems(target, await serve(), good)).toEqual([])
  })

  it('names the route that does not answer', async () => {
    expect(await problems('sagemaker', await serve({ statuses: { '/ping': 503 } }), good)).toEqual(['it answered 503'])
    expect(await problems('azure', await serve({ statuses: { '/score': 404 } }), good)).toHaveLength(1)
  })

  it('sends what the metadata asks for to the tensor route, and names an answer without tensors', async () => {
    expect(await problems('kserve', await serve({ statuses: { '/v2/models/model/infer': 404 } }), good)).toHaveLength(1)
    expect(await problems('kserve', await serve({ statuses: { '/v2/models/model/infer': 400 } }), good)).toEqual([])
  })

  it('takes a refused example as proof that the route is there', async () => {
    expect(await problems('cloudrun', await serve({ statuses: { '/predictions': 422 } }), good)).toEqual([])
  })

  it('names what is wrong with the image for SageMaker: media type, label, user', async () => {
    const config = { ...good.config, config: { User: '1000' } }
    const image = { ...good, config, mediaType: 'application/vnd.oci.image.manifest.v1+json' }
    expect(await problems('sagemaker', await serve(), image)).toHaveLength(3)
  })

  it('names a server that is not there', async () => {
    const nobody = { port: 9, exit: Promise.resolve(1), kill: () => undefined }
    expect(await problems('replicate', nobody, good)).toHaveLength(4)
  })
})

describe.skipIf(process.platform !== 'linux')('checkPlatform(), of a server that only itself can reach', () => {
  it.each(TARGETS)('names it, for %s', async (target) => {
    expect(await problems(target, await serve({ host: '127.0.0.1' }), good)).toEqual([
      'it does not; is LAYERWRIGHT_HOST set in the image?',
    ])
  })
})

describe.concurrent('checkPlatform(), at SIGTERM', () => {
  const DRAINING = ['sagemaker', 'cloudrun', 'kserve'] as const

  it.each(DRAINING)('waits for the prediction that runs, on %s', async (target) => {
    expect(await problems(target, await serve({ predictionMs: 1600 }), good)).toEqual([])
  })

  it.each(DRAINING)('names a server that breaks it off, on %s', async (target) => {
    const server = await serve({ predictionMs: 1600, onTerm: 'break' })
    expect(await problems(target, server, good)).toEqual(['its connection was broken'])
  })

  it('names a server that goes on, and one that ends as if it had failed', async () => {
    const [, ends] = drains(0.1, '/predictions', (input) => input)
    const probe = {
      ask: async () => undefined,
      input: {},
      terminate: () => undefined,
      exit: new Promise<number>(() => undefined),
    }
    expect(await ends?.check(probe, good)).toBe('it went on')
    expect(await problems('kserve', await serve({ exitStatus: 143 }), good)).toEqual(['its exit status was 143'])
  })
})

describe('exampleInput()', () => {
  it('fills what is required, and nothing else', () => {
    const image = 'data:text/plain;base64,YQ=='
    expect(exampleInput(document)).toEqual({ name: 'aa', image, size: 256, steps: 3 })
    expect(exampleInput(undefined)).toEqual({})
  })
})
