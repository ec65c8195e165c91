import { chooseFlavour, findImages, formatImage, settleEnvironment } from '../compat/index.ts'
import defaults from '../core/defaults.json' with { type: 'json' }
import { BuildError } from '../core/errors.ts'
import type { LockedLibc } from '../lock/lock.ts'
import { interpreterChoice, type BaseDraft, type BaseRequest, type CompletedBase } from './base-draft.ts'
import type { ResolveContext } from './context.ts'
import { lockChoice } from './environment.ts'
import { lockImage } from './image-base.ts'
import { chooseInterpreter } from './interpreter.ts'
import { knownBaseFacts } from './known-base-facts.ts'
import { systemPackagesFor } from './system-packages.ts'

/** The C library of each Ubuntu release, so that no layer of a CUDA image must be read to know it. */
const UBUNTU_LIBC: Readonly<Record<string, number>> = {
  '18.04': 27,
  '20.04': 31,
  '22.04': 35,
  '24.04': 39,
  '26.04': 43,
}

/**
 * The smallest nvidia/cuda image that satisfies the lock.
 *
 * CUDA and Ubuntu release come first, since they decide the C library; then the wheels; then the flavour, within the
 * same release.
 */
export async function cudaBase(request: BaseRequest, context: ResolveContext): Promise<BaseDraft> {
  const { config, platform, environment } = request
  const { build } = config
  const { choice } = environment
  const ubuntu = choice.ubuntu ?? ''
  const libc = libcOf(ubuntu)
  const version = environment.python
  // CUDA images bring no Python of their own.
  const interpreter = await chooseInterpreter({ build, platform, version, found: [] }, context)
  return {
    interpreter,
    libc,
    async complete(wheels): Promise<CompletedBase> {
      const settled = settleEnvironment(choice, environment.request, wheels)
      // The wheels may bring another cuDNN than the images have, so the version alone names them.
      const images = findImages(settled.cuda ?? '')
      if (images === undefined || !images.ubuntu.includes(ubuntu)) {
        throw new BuildError('BASE_NOT_FOUND', `No CUDA ${settled.cuda} image is known on Ubuntu ${ubuntu}`, {
          hint: 'Name one with build.base_image.',
        })
      }
      const { flavour, systemPackages, reasons } = chooseFlavour({ stated: build.cudaFlavour, wheels })
      const location = `docker://${repository(context)}:${formatImage(images, flavour, ubuntu).split(':')[1]}`
      const opened = await context.openBase(location, platform)
      const wanted = [...build.systemPackages, ...systemPackages]
      // Only packages need to know what the image holds; otherwise not a byte of it is read.
      const facts = wanted.length === 0 ? { osId: 'ubuntu', osVersion: ubuntu } : await knownBaseFacts(opened, context)
      return {
        base: lockImage(location, opened, facts),
        environment: settled,
        systemPackages: 'packages' in facts ? await systemPackagesFor(wanted, facts, request, context) : undefined,
        choices: [
          { key: 'base', value: location, reason: `a GPU is asked for: CUDA ${settled.cuda} on Ubuntu ${ubuntu}` },
          interpreterChoice(interpreter, build.pythonVersion),
          ...[...settled.reasons, ...reasons].filter(({ key }) => key !== 'python').map(lockChoice),
        ],
      }
    },
  }
}

/** Another place for the same images: nvcr.io, or a mirror. */
function repository({ env }: ResolveContext): string {
  return env['LAYERWRIGHT_CUDA_REPOSITORY'] || defaults.cudaRepository
}

function libcOf(ubuntu: string): LockedLibc {
  const minor = UBUNTU_LIBC[ubuntu]
  if (minor === undefined) throw new RangeError(`The C library of Ubuntu ${ubuntu} is not in the table`)
  return { kind: 'glibc', major: 2, minor }
}
