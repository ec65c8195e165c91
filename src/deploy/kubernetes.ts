/** What is deployed, and how. */
export interface KubernetesOptions {
  /** Best with its digest: a tag that moves makes two pods differ. */
  readonly image: string
  /** Name of the objects; a DNS label that begins with a letter, as a Service needs. */
  readonly name: string
  readonly replicas: number
  /** Told by labels, when several versions of a model run beside each other. */
  readonly version?: { readonly model: string; readonly tag: string } | undefined
  /** GPUs for each pod. */
  readonly gpus: number
  /** For each pod, in Kubernetes' spelling (`2`, `500m`; `8Gi`): asked for, and of memory the most as well. */
  readonly cpu?: string | undefined
  readonly memory?: string | undefined
  /** With a queue, workers are deployed that scale with what waits, down to none. */
  readonly queue?: QueueOptions | undefined
}

/** Where jobs come from. */
export interface QueueOptions {
  /** Secret whose key `url` holds the Redis URL with its password. */
  readonly secret: string
  /** Host and port without credentials, for the scaler. */
  readonly address: string
  readonly stream: string
  readonly maxReplicas: number
  /** The scaler connects with TLS. */
  readonly isTls: boolean
  /** Keys of the secret that hold the scaler's user and password, since it cannot read them from a URL. */
  readonly usernameKey?: string | undefined
  readonly passwordKey?: string | undefined
}

/** A Kubernetes object. */
export type KubernetesObject = Readonly<Record<string, unknown>>

const PORT = 5000
/** Longer than the launcher's own grace of 25 s, so that it is never killed while it gives work back. */
const GRACE_SECONDS = 40

/**
 * The objects that serve an image on Kubernetes: Deployment, Service and PodDisruptionBudget; with a queue also a
 * Deployment of workers and KEDA's ScaledObject on what waits and runs in the stream's consumer group.
 */
export function makeKubernetesObjects(options: KubernetesOptions): readonly KubernetesObject[] {
  const { name, queue } = options
  const selector = { 'app.kubernetes.io/name': name }
  const labels = { ...selector, ...versionLabels(options) }
  const server = deployment(options, name, selector, options.replicas, serverContainer(options))
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels },
    spec: { selector, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  }
  const budget = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, labels },
    spec: { maxUnavailable: 1, selector: { matchLabels: selector } },
  }
  if (queue === undefined) return [server, service, budget]
  const workerName = `${name}-worker`
  const workerSelector = { 'app.kubernetes.io/name': workerName }
  return [
    server,
    service,
    budget,
    deployment(options, workerName, workerSelector, undefined, workerContainer(options, queue)),
    scaledObject(workerName, queue),
    ...triggerAuthentication(workerName, queue),
  ]
}

function deployment(
  options: KubernetesOptions,
  name: string,
  selector: KubernetesObject,
  replicas: number | undefined,
  container: KubernetesObject,
): KubernetesObject {
  const labels = { ...selector, ...versionLabels(options) }
  const volumes = [
    { name: 'tmp', emptyDir: {} },
    // Data loaders pass tensors through shared memory; the container's own 64 MiB are too few.
    { name: 'shm', emptyDir: { medium: 'Memory' } },
  ]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      // Without a number the scaler decides.
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: selector },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: GRACE_SECONDS,
          // A model has no business with the cluster's API, nor with the addresses of other services.
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65_532,
            runAsGroup: 65_532,
            fsGroup: 65_532,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [{ ...container, ...resourcesOf(options) }],
          volumes,
          // Machines with GPUs are usually kept from pods that need none.
          ...(options.gpus === 0
            ? {}
            : { tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }] }),
        },
      },
    },
  }
}

/** Not for selecting: a selector cannot be changed later, and the name says it already. */
function versionLabels({ version }: KubernetesOptions): KubernetesObject {
  if (version === undefined) return {}
  return { 'app.kubernetes.io/part-of': version.model, 'app.kubernetes.io/version': version.tag }
}

/** A limit of processor time would slow a model down on an idle machine; one of memory keeps the machine alive. */
function resourcesOf({ gpus, cpu, memory }: KubernetesOptions): KubernetesObject {
  const requests = { ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) }
  const limits = { ...(memory === undefined ? {} : { memory }), ...(gpus === 0 ? {} : { 'nvidia.com/gpu': gpus }) }
  const resources = Object.entries({ requests, limits }).filter(([, amounts]) => Object.keys(amounts).length > 0)
  return resources.length === 0 ? {} : { resources: Object.fromEntries(resources) }
}

function serverContainer(options: KubernetesOptions): KubernetesObject {
  return {
    ...baseContainer(options.image),
    name: 'model',
    ports: [{ name: 'http', containerPort: PORT }],
    env: [{ name: 'PORT', value: String(PORT) }, ...versionVariable(options)],
    // Loading weights may take long: liveness begins when readiness was reached once.
    startupProbe: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 2, failureThreshold: 900 },
    readinessProbe: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 5, timeoutSeconds: 6 },
    livenessProbe: { httpGet: { path: '/livez', port: 'http' }, periodSeconds: 10, timeoutSeconds: 2 },
    // Endpoints learn of the end a moment after the pod does.
    lifecycle: { preStop: { sleep: { seconds: 5 } } },
  }
}

function workerContainer({ image }: KubernetesOptions, queue: QueueOptions): KubernetesObject {
  return {
    ...baseContainer(image),
    name: 'worker',
    env: [
      { name: 'PORT', value: String(PORT) },
      { name: 'LAYERWRIGHT_QUEUE', valueFrom: { secretKeyRef: { name: queue.secret, key: 'url' } } },
      { name: 'LAYERWRIGHT_QUEUE_NAME', value: queue.stream },
    ],
    ports: [{ name: 'http', containerPort: PORT }],
    livenessProbe: { httpGet: { path: '/livez', port: 'http' }, periodSeconds: 10, timeoutSeconds: 2 },
  }
}

/** What every answer says that it comes from: the name of a version among several, else what the image is known by. */
function versionVariable({ image, version }: KubernetesOptions): readonly KubernetesObject[] {
  const [, tag, digest] = /^[^@]*?(?::([^/@:]+))?(?:@(.+))?$/.exec(image) ?? []
  const value = version?.tag ?? digest ?? tag
  return value === undefined ? [] : [{ name: 'LAYERWRIGHT_MODEL_VERSION', value }]
}

function baseContainer(image: string): KubernetesObject {
  return {
    image,
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'shm', mountPath: '/dev/shm' },
    ],
  }
}

/**
 * The worker's consumer group has the stream's name. The lag (Redis 7 or newer) is what no worker has read yet; what
 * was read and has not ended is pending, and must keep workers too: a running job would otherwise be stopped when the
 * queue is empty, and one that was given back would wait for somebody else's job.
 */
function scaledObject(name: string, queue: QueueOptions): KubernetesObject {
  const { address, stream, maxReplicas, isTls } = queue
  const source = { address, stream, consumerGroup: stream, ...(isTls ? { enableTLS: 'true' } : {}) }
  const authentication = secretKeys(queue).length === 0 ? {} : { authenticationRef: { name } }
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: { name },
    spec: {
      scaleTargetRef: { name },
      minReplicaCount: 0,
      maxReplicaCount: maxReplicas,
      pollingInterval: 5,
      cooldownPeriod: 300,
      triggers: [
        {
          type: 'redis-streams',
          metadata: { ...source, lagCount: '1', activationLagCount: '0' },
          ...authentication,
        },
        { type: 'redis-streams', metadata: { ...source, pendingEntriesCount: '1' }, ...authentication },
      ],
    },
  }
}

function triggerAuthentication(name: string, queue: QueueOptions): readonly KubernetesObject[] {
  const keys = secretKeys(queue)
  if (keys.length === 0) return []
  return [
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'TriggerAuthentication',
      metadata: { name },
      spec: { secretTargetRef: keys.map(([parameter, key]) => ({ parameter, name: queue.secret, key })) },
    },
  ]
}

function secretKeys({ usernameKey, passwordKey }: QueueOptions): readonly (readonly [string, string])[] {
  return [
    ...(usernameKey === undefined ? [] : [['username', usernameKey] as const]),
    ...(passwordKey === undefined ? [] : [['password', passwordKey] as const]),
  ]
}
