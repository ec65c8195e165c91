import { openDestination, openImage, copyImage } from '../../src/destinations/index.ts'
import { makeImage } from '../../src/image/make-image.ts'
import { requireCuda } from '../../src/compat/index.ts'
import type { Registries } from '../../registry/registries.ts'

/** What a stand-in is made of. */
export interface StandIn {
  /** An image of ours whose lowest layers are a Debian file system; only those are taken. */
  readonly from: string
  /** `HOST/nvidia/cuda:TAG` to push it to. */
  readonly to: string
  readonly cuda: string
  readonly registries: Registries
}

/**
 * Pushes an image with the environment, labels and entrypoint of an nvidia/cuda image, on a file system that runs.
 *
 * The real ones cannot be reached everywhere, and what a build sees of them is this.
 */
export async function pushCudaStandIn({ from, to, cuda, registries }: StandIn): Promise<void> {
  const debian = await openImage(from)
  const layers = debian.layers.filter(({ createdBy }) => /^(system packages|registration)/.test(createdBy))
  const image = makeImage({
    platform: { os: 'linux', architecture: 'amd64' },
    layers,
    runtime: {
      Env: [
        'PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'NVARCH=x86_64',
        `NVIDIA_REQUIRE_CUDA=${requireCuda(cuda) ?? ''}`,
        `CUDA_VERSION=${cuda}`,
        'LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64',
        'NVIDIA_VISIBLE_DEVICES=all',
        'NVIDIA_DRIVER_CAPABILITIES=compute,utility',
      ],
      Entrypoint: ['/opt/nvidia/nvidia_entrypoint.sh'],
      Labels: { maintainer: 'NVIDIA CORPORATION <cudatools@nvidia.com>' },
    },
    baseLayerCount: 0,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format: 'docker',
  })
  await copyImage(image, await openDestination(`docker://${to}`, { registries }))
}
