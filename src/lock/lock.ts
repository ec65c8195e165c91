import type { Descriptor, Digest, ImageConfig } from 'oci-spec-types'
import type { RemoteFile } from '../core/remote-file.ts'
import type { DebianLock } from '../debian/lock.ts'
import type { LockedWheel } from '../python/lock.ts'

/** The lock file's name, beside cog.yaml. */
export const LOCK_FILE = 'layerwright.lock'

/**
 * What the world answered for one project: everything a build needs to know before it moves bytes.
 *
 * Plain JSON. A build from a lock asks no index, no archive and no registry which version to take.
 */
export interface Lock {
  readonly lockVersion: 1
  /** Digest of what the answers depend on: the configuration, requirement files, settings. */
  readonly inputs: Digest
  /** In the order of `build.platforms`. */
  readonly platforms: readonly PlatformLock[]
  /** What the layers become that follow from the answers, as far as a build has seen; absent before the first one. */
  readonly layers?: LockedLayers
  /** In the order of the configuration; absent when there are none. The same for every platform. */
  readonly weights?: readonly LockedWeights[]
}

/**
 * What layers become that follow from the answers: of wheels, environments, interpreters and Debian packages. They need then not be made
 * to know the image's digest: nothing is fetched for those that a destination has, and no wheel is inflated for the others.
 */
export interface LockedLayers {
  /** By the key of the layer's spec, sorted; that of a registration of Debian packages holds the program's version as well. */
  readonly records: Readonly<Record<string, LockedLayer>>
  /** Hashes of sets of layers that were found to fill no path differently, sorted. */
  readonly clashFree: readonly Digest[]
  /** Hashes of sets of layers with the GPUs that a project states, for which no package of theirs lacks code, sorted; absent without such. */
  readonly gpuCode?: readonly Digest[] | undefined
  /** What has to be read of large wheels to lay an environment, by the wheel's sha256: proven without the whole wheel. */
  readonly parts: Readonly<Record<string, readonly LockedPart[]>>
}

/** A part of a file by its hash. */
export interface LockedPart {
  readonly offset: number
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/** One derivation. */
export interface LockedLayer {
  readonly mediaType: string
  /** Of the compressed bytes; checked whenever they are made. */
  readonly digest: Digest
  readonly size: number
  /** Of the tar; `--verify` computes it again. */
  readonly diffId: Digest
}

/** A folder of weights, file by file. */
export interface LockedWeights {
  readonly name: string
  /** Absolute folder in the image. */
  readonly target: string
  /** Of the sorted lines `<sha256>  <path>`, joined by line feeds. */
  readonly digest: Digest
  /** What was asked, and what a branch or tag meant. */
  readonly sources: readonly { readonly uri: string; readonly revision?: string }[]
  /** Sorted by path. */
  readonly files: readonly LockedWeightFile[]
}

/** A file of weights. Its address is `https:`, `file:`, or `project:` for a path from the project folder. */
export interface LockedWeightFile extends RemoteFile {
  /** Below the target, `/` between parts. */
  readonly path: string
}

/** The answers for one platform. */
export interface PlatformLock {
  readonly platform: LockedPlatform
  readonly base: LockedBase
  readonly interpreter: LockedInterpreter
  /** The C library of the base. */
  readonly libc: LockedLibc
  /** The user's environment, in order of name. */
  readonly wheels: readonly LockedWheel[]
  /** The launcher's own environment, in order of name. */
  readonly launcher: readonly LockedWheel[]
  /** Packages beyond the base's own; absent when none were asked for, or when they are part of a `debian` base. */
  readonly systemPackages?: DebianLock
  /** What GPUs need; absent without `gpu: true`. */
  readonly gpu?: LockedGpu
  /** Why each choice was made, most important first. */
  readonly choices: readonly LockedChoice[]
}

/** What the wheels of a lock need of a GPU's driver and of the loader. */
export interface LockedGpu {
  /** Oldest driver on which all of it runs, such as `525.60.13`. */
  readonly driverFloor?: string
  /** Absolute folders of CUDA libraries that wheels bring but other wheels do not find by themselves. */
  readonly libraryFolders: readonly string[]
}

/** What images are built for. */
export type LockedPlatform = {
  readonly os: 'linux'
  readonly architecture: 'amd64' | 'arm64'
}

/** What the image stands on. */
export type LockedBase = LockedImageBase | LockedDebianBase

/** An existing image, by digest. */
export interface LockedImageBase {
  readonly kind: 'image'
  /** As skopeo names images: `docker://REGISTRY/REPO:TAG`, `oci:DIR`, ... */
  readonly location: string
  /** Of the manifest for this platform. */
  readonly manifest: Descriptor
  readonly config: ImageConfig
  /** Lowest first, one for each of the config's diffIds. */
  readonly layers: readonly Descriptor[]
  /** Name and version from os-release, such as `ubuntu 22.04`; empty when the base has none. */
  readonly operatingSystem: string
}

/** A root file system composed from Debian packages by this program. */
export interface LockedDebianBase {
  readonly kind: 'debian'
  readonly suite: 'bookworm' | 'trixie'
  /** The slim set, the interpreter when it is Debian's, and the project's system packages. */
  readonly packages: DebianLock
}

/** The Python that runs the model and the launcher. */
export interface LockedInterpreter {
  readonly kind: 'base' | 'debian' | 'archive'
  /** Full version, `3.11.9`. */
  readonly version: string
  /** Absolute path in the image. */
  readonly executable: string
  /** The archive, when it is one; `prefix` is where its `python/` folder is laid. */
  readonly archive?: RemoteFile & { readonly prefix: string }
}

/** Kind and version of a C library. */
export interface LockedLibc {
  readonly kind: 'glibc' | 'musl'
  readonly major: number
  readonly minor: number
}

/** One decision, said so that a person can follow it. */
export interface LockedChoice {
  /** `base`, `cuda`, `cudnn`, `python`, `torch`, ... */
  readonly key: string
  readonly value: string
  readonly reason: string
  readonly rejected?: string | undefined
}
