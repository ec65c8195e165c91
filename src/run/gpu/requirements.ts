import { evaluateRequirement, type GpuHost } from '../../compat/require.ts'

/** Brands that requirements name; which one a GPU has only NVIDIA's own library tells. */
const BRANDS = [
  undefined,
  'tesla',
  'nvidia',
  'nvidiartx',
  'geforce',
  'geforcertx',
  'quadro',
  'quadrortx',
  'titan',
  'titanrtx',
  'grid',
  'vapps',
  'vpc',
  'vcs',
  'vws',
  'cloudgaming',
  'unknown',
]

/**
 * Tells why a driver does not meet an image's `NVIDIA_REQUIRE_*` variables; every one of them counts.
 *
 * A requirement that names brands is met when some brand meets it: refusing a GPU for a brand that cannot be asked would be
 * worse than letting the driver itself say no. An image with only `CUDA_VERSION` requires that version.
 *
 * @see NVIDIA container toolkit, internal/config/image and internal/requirements
 */
export function evaluateRequirements(env: Readonly<Record<string, string>>, driver: string): string[] {
  const named = Object.entries(env).filter(
    ([name, value]) => name.startsWith('NVIDIA_REQUIRE_') && name !== 'NVIDIA_REQUIRE_JETPACK' && value.trim() !== '',
  )
  const legacy = /^(\d+\.\d+)/.exec(env['CUDA_VERSION'] ?? '')?.[1]
  const hasCuda = named.some(([name]) => name === 'NVIDIA_REQUIRE_CUDA')
  const all = !hasCuda && legacy !== undefined ? [...named, ['CUDA_VERSION', `cuda>=${legacy}`] as const] : named
  return all.flatMap(([name, requirement]) => {
    try {
      return BRANDS.some((brand) => evaluateRequirement(requirement, hostOf(driver, brand)).satisfied)
        ? []
        : [`${name} asks for ${requirement.split(' ')[0]}`]
    } catch (error) {
      if (error instanceof RangeError) return [`${name} is malformed: ${error.message}`]
      throw error
    }
  })
}

function hostOf(driver: string, brand: string | undefined): GpuHost {
  return brand === undefined ? { driver } : { driver, brand }
}
