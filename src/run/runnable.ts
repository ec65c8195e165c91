import { existsSync, readFileSync } from 'node:fs'
import type { Platform } from 'oci-spec-types'
import { BuildError } from '../core/errors.ts'

const HOST_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  s390x: 's390x',
  ppc64: 'ppc64le',
  riscv64: 'riscv64',
}
const EMULATORS: Readonly<Record<string, string>> = { amd64: 'x86_64', arm64: 'aarch64' }

/** Most kernels run these besides their own. */
const ALSO: Readonly<Record<string, string>> = { amd64: '386', arm64: 'arm' }

/** @throws BuildError HOST_UNSUPPORTED unless this machine executes programs of the platform */
export function assertRunnable(
  platform: Platform,
  arch: string = process.arch,
  binfmt = '/proc/sys/fs/binfmt_misc',
): void {
  const here = HOST_ARCHITECTURES[arch] ?? arch
  if (platform.os === 'linux' && (platform.architecture === here || ALSO[here] === platform.architecture)) return
  const file = `${binfmt}/qemu-${EMULATORS[platform.architecture] ?? platform.architecture}`
  // The flag F: the emulator was opened when it was registered, so that it is found in any root file system.
  if (existsSync(file)) {
    const text = readFileSync(file, 'utf8')
    if (text.startsWith('enabled') && /^flags:.*F/m.test(text)) return
  }
  const wanted = `${platform.os}/${platform.architecture}`
  throw new BuildError('HOST_UNSUPPORTED', `Programs for ${wanted} cannot run on this linux/${here} machine`, {
    hint: `Use a ${wanted} machine, or register an emulator in binfmt_misc with the flag F.`,
    data: { platform: wanted, host: `linux/${here}` },
  })
}
