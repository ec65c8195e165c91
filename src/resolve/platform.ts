import { BuildError } from '../core/errors.ts'
import type { LockedPlatform } from '../lock/lock.ts'

/** A platform of a configuration, such as `linux/arm64`. @throws BuildError PLATFORM_NOT_FOUND */
export function parsePlatform(text: string): LockedPlatform {
  const [os, architecture] = text.split('/')
  if (os === 'linux' && (architecture === 'amd64' || architecture === 'arm64')) return { os, architecture }
  throw new BuildError('PLATFORM_NOT_FOUND', `Images cannot be built for this platform: \`${text}\``, {
    hint: 'Known platforms: linux/amd64, linux/arm64.',
  })
}
