import { drains, listensEverywhere } from './lifecycle.ts'
import type { Probe, ProbeAnswer, Rule } from './rule.ts'

/** A platform whose rules can be checked. */
export const TARGETS = ['sagemaker', 'vertex', 'azure', 'cloudrun', 'kserve', 'replicate'] as const
/** See {@link TARGETS}. */
export type Target = (typeof TARGETS)[number]

/** A platform: what it sets in the environment, which words it starts the image with, what it expects. */
export interface Contract {
  readonly env: (port: number) => Readonly<Record<string, string>>
  readonly args: readonly string[]
  readonly rules: readonly Rule[]
}

const VERTEX_ROUTE = '/v1/endpoints/1/deployedModels/2'

/** The contracts; facts and sources in `docs/reference/platforms.md`. */
export const CONTRACTS: Readonly<Record<Target, Contract>> = {
  sagemaker: {
    env: (port) => ({ SAGEMAKER_BIND_TO_PORT: String(port) }),
    args: ['serve'],
    rules: [
      answers('GET', '/ping', 2000),
      predicts('/invocations', (input) => input),
      listensEverywhere,
      {
        name: 'the label accept-bind-to-port is set',
        why: 'inference pipelines choose the port of each container',
        check: async (_, { config }) =>
          config.config?.Labels?.['com.amazonaws.sagemaker.capabilities.accept-bind-to-port'] === 'true'
            ? undefined
            : 'it is not',
      },
      {
        name: 'the manifest is Docker schema 2',
        why: 'CreateModel refuses OCI media types; build with `--format docker`',
        check: async (_, { mediaType }) =>
          mediaType.startsWith('application/vnd.docker.') ? undefined : `it is ${mediaType}`,
      },
      {
        name: 'the image runs as root',
        why: 'the hosting guide asks for it',
        check: async (_, { config }) => {
          const user = config.config?.User ?? ''
          return ['', '0', 'root', '0:0', 'root:root'].includes(user) ? undefined : `the user is ${user}`
        },
      },
      ...drains(30, '/invocations', (input) => input),
    ],
  },
  vertex: {
    env: (port) => ({
      AIP_HTTP_PORT: String(port),
      AIP_HEALTH_ROUTE: VERTEX_ROUTE,
      AIP_PREDICT_ROUTE: `${VERTEX_ROUTE}:predict`,
    }),
    args: [],
    rules: [answers('GET', VERTEX_ROUTE), predictsInstances(`${VERTEX_ROUTE}:predict`), listensEverywhere],
  },
  azure: {
    env: (port) => ({ PORT: String(port) }),
    args: [],
    rules: [
      answers('GET', '/livez'),
      answers('GET', '/readyz'),
      predicts('/score', (input) => input),
      listensEverywhere,
    ],
  },
  cloudrun: {
    env: (port) => ({ PORT: String(port) }),
    args: [],
    rules: [
      answers('GET', '/'),
      predicts('/predictions', (input) => ({ input })),
      {
        name: 'the image is for amd64',
        why: 'Cloud Run runs linux/amd64',
        check: async (_, { architecture }) => (architecture === 'amd64' ? undefined : `it is for ${architecture}`),
      },
      listensEverywhere,
      ...drains(10, '/predictions', (input) => ({ input })),
    ],
  },
  kserve: {
    env: (port) => ({ PORT: String(port) }),
    args: [],
    rules: [
      answers('GET', '/v2/health/live'),
      answers('GET', '/v2/health/ready'),
      answers('GET', '/v2/models/model'),
      answers('GET', '/v2/models/model/ready'),
      predictsInstances('/v1/models/model:predict'),
      infersTensors('/v2/models/model'),
      listensEverywhere,
      ...drains(30, '/v1/models/model:predict', (input) => ({ instances: [input] })),
    ],
  },
  replicate: {
    env: (port) => ({ PORT: String(port) }),
    args: [],
    rules: [
      answers('GET', '/health-check'),
      answers('GET', '/openapi.json'),
      predicts('/predictions', (input) => ({ input })),
      listensEverywhere,
    ],
  },
}

function answers(method: string, path: string, timeoutMs = 4000): Rule {
  return {
    name: `${method} ${path} answers 200 within ${timeoutMs / 1000} s, also while a prediction runs`,
    why: 'the platform asks it to learn whether the container is well',
    async check(probe) {
      const running = probe.ask('POST', '/predictions', { body: { input: probe.input } })
      const answer = await probe.ask(method, path, { timeoutMs })
      await running
      if (answer === undefined) return 'there was no answer in time'
      return answer.status === 200 ? undefined : `it answered ${answer.status}`
    },
  }
}

function predicts(path: string, bodyOf: (input: Probe['input']) => unknown): Rule {
  return {
    name: `POST ${path} takes a request of the model's input`,
    why: 'the platform sends predictions there',
    async check(probe) {
      return judge(await probe.ask('POST', path, { body: bodyOf(probe.input), timeoutMs: 60_000 }), 'output')
    },
  }
}

function predictsInstances(path: string): Rule {
  return {
    name: `POST ${path} takes instances and answers predictions`,
    why: 'the platform sends predictions there',
    async check(probe) {
      const body = { instances: [probe.input] }
      return judge(await probe.ask('POST', path, { body, timeoutMs: 60_000 }), 'predictions')
    },
  }
}

/** The example as tensors of the Open Inference Protocol, with the data types that the model's metadata names. */
function infersTensors(model: string): Rule {
  return {
    name: `POST ${model}/infer takes tensors and answers tensors`,
    why: 'clients of the Open Inference Protocol send predictions there',
    async check(probe) {
      const metadata = (await probe.ask('GET', model))?.body as { readonly inputs?: readonly TensorFacts[] } | undefined
      const inputs = (metadata?.inputs ?? []).flatMap(({ name, datatype }) => {
        const value = probe.input[name]
        if (value === undefined) return []
        const data = Array.isArray(value) ? (value as readonly unknown[]) : [value]
        return [{ name, datatype, shape: [data.length], data }]
      })
      const answer = await probe.ask('POST', `${model}/infer`, { body: { inputs }, timeoutMs: 60_000 })
      // The protocol answers 400 where the other routes answer 422.
      return answer?.status === 400 ? undefined : judge(answer, 'outputs')
    },
  }
}

interface TensorFacts {
  readonly name: string
  readonly datatype: string
}

/** 422 means that the route exists and only the example did not fit; 404, 405 and 5xx mean it does not work. */
function judge(answer: ProbeAnswer | undefined, key: string): string | undefined {
  if (answer === undefined) return 'there was no answer within a minute'
  if (answer.status === 422) return undefined
  if (answer.status >= 300) return `it answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 200)}`
  const isObject = typeof answer.body === 'object' && answer.body !== null
  return isObject && key in answer.body ? undefined : `the answer has no \`${key}\``
}
