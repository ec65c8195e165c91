import { OCI } from 'oci-spec-types'
import { writeTar } from '../../layers/files.ts'
import { collect, openBytes } from '../core/bytes.ts'
import { digestOf } from '../core/digest.ts'
import { makeImage } from '../image/make-image.ts'
import type { RunnableImage } from './image.ts'

/** The exit status of the probe's only program. */
export const PROBE_STATUS = 42

/** Machine code for `exit(42)`, by the architecture as Node and as the specs call it. */
const CODE: Readonly<
  Record<string, { readonly architecture: string; readonly machine: number; readonly bytes: string }>
> = {
  // mov eax, 60; mov edi, 42; syscall
  x64: { architecture: 'amd64', machine: 62, bytes: 'b83c000000bf2a0000000f05' },
  // mov x8, 93; mov x0, 42; svc 0
  arm64: { architecture: 'arm64', machine: 183, bytes: 'a80b80d2400580d2010000d4' },
}

/**
 * An image of a kilobyte whose only program ends with {@link PROBE_STATUS}: whoever runs it can run containers here.
 *
 * @returns undefined on an architecture whose machine code is not known here
 */
export async function makeProbeImage(arch: string = process.arch): Promise<RunnableImage | undefined> {
  const code = CODE[arch]
  if (code === undefined) return undefined
  const elf = makeElf(code.machine, Buffer.from(code.bytes, 'hex'))
  const folders = ['dev', 'etc', 'proc', 'sys', 'tmp'].map(
    (path) => ({ kind: 'directory', path, mode: 0o755 }) as const,
  )
  // As in images of distributions, something belongs to others: podman takes no such image from a user with a single id.
  const owned = { kind: 'directory', path: 'var', mode: 0o755, uid: 1, gid: 50 } as const
  const probe = { kind: 'file', path: 'probe', mode: 0o755, sizeBytes: elf.length, open: openBytes(elf) } as const
  const tar = await collect(writeTar([...folders, owned, probe]), 1024 * 1024)
  const digest = digestOf(tar)
  return makeImage({
    platform: { os: 'linux', architecture: code.architecture },
    layers: [
      {
        descriptor: { mediaType: OCI.layer, digest, size: tar.length },
        diffId: digest,
        open: openBytes(tar),
        createdBy: 'probe',
      },
    ],
    runtime: { Entrypoint: ['/probe'], WorkingDir: '/' },
    baseLayerCount: 0,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format: 'oci',
  })
}

/** The smallest ELF file that the kernel loads: one header, one segment, code. */
function makeElf(machine: number, code: Buffer): Buffer {
  const headers = 64 + 56
  const base = 0x400000
  const file = Buffer.alloc(headers + code.length)
  file.write('\x7fELF\x02\x01\x01', 0, 'latin1')
  file.writeUInt16LE(2, 16)
  file.writeUInt16LE(machine, 18)
  file.writeUInt32LE(1, 20)
  file.writeBigUInt64LE(BigInt(base + headers), 24)
  file.writeBigUInt64LE(64n, 32)
  file.writeUInt16LE(64, 52)
  file.writeUInt16LE(56, 54)
  file.writeUInt16LE(1, 56)
  file.writeUInt32LE(1, 64)
  file.writeUInt32LE(5, 68)
  file.writeBigUInt64LE(BigInt(base), 80)
  file.writeBigUInt64LE(BigInt(base), 88)
  file.writeBigUInt64LE(BigInt(file.length), 96)
  file.writeBigUInt64LE(BigInt(file.length), 104)
  file.writeBigUInt64LE(0x1000n, 112)
  code.copy(file, headers)
  return file
}
