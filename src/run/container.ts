import type { RuntimeHook } from 'oci-spec-types'
import type { Host } from './host.ts'
import type { ProcessRequest } from './process.ts'
import type { RunnableImage } from './image.ts'

/** A file or directory of the host inside the container. */
export interface BindMount {
  readonly source: string
  readonly destination: string
  /** As `mount` takes them, besides `bind`: `ro`, `nosuid`, `nodev`, ... */
  readonly options: readonly string[]
}

/** A file system in memory inside the container. */
export interface MemoryMount {
  readonly destination: string
  /** Permission bits, such as 0o1777. */
  readonly mode: number
}

/** A device node of the host inside the container. */
export interface ContainerDevice {
  readonly path: string
  readonly hostPath: string
  readonly type: 'c' | 'b'
  readonly major: number
  readonly minor: number
  readonly fileMode: number
  readonly uid: number
  readonly gid: number
  /** Of `r`, `w` and `m`. */
  readonly permissions: string
}

/** Programs of the host that set the container up, by the stage at which they run. */
export type ContainerHooks = Readonly<Record<string, readonly RuntimeHook[]>>

/** A container about to start: everything decided but who runs it. */
export interface Container {
  /** Unique on this machine. */
  readonly name: string
  readonly image: RunnableImage
  /**
   * The image's file system, unpacked on the first call: folders to stack, topmost first; or one, where the host cannot.
   * Only direct backends need it.
   */
  folders(canStack: boolean): Promise<readonly string[]>
  /** What the caller changes about the process that the image names. */
  readonly request: ProcessRequest
  /** Groups besides those that the image gives the user. */
  readonly additionalGids: readonly number[]
  readonly binds: readonly BindMount[]
  readonly memory: readonly MemoryMount[]
  readonly devices: readonly ContainerDevice[]
  readonly hooks: ContainerHooks
  /** `host`: the host's own network. */
  readonly network: 'host' | 'none'
  readonly hostname: string
  readonly stdin: 'inherit' | 'ignore'
  /** True when the process gets a terminal. */
  readonly terminal: boolean
  /** A private folder on disk for what the container writes; the backend removes it. */
  readonly workFolder: string
  /** Receives what the container changed, before that is removed; only direct backends with an overlay can. */
  readonly capture?: ((changes: ContainerChanges) => Promise<void>) | undefined
}

/** What a container's process left behind. */
export interface ContainerChanges {
  readonly status: number
  /**
   * A tar of the overlay's upper folder: what was written, with deletions as character devices 0:0 and the overlay's own
   * marks among the extended attributes.
   */
  readonly tarFile: string
  /** Names of sockets that the tar could not take. */
  readonly sockets: readonly string[]
  readonly folders: readonly string[]
  /** Where there was no overlay to mark them: paths that are gone, one character a byte, starting with `./`. */
  readonly deleted: readonly string[]
}

/** Where the process's streams go: the caller's own, or pipes that the caller reads. */
export type Stdio = 'inherit' | 'pipe'

/** A started container. */
export interface RunningContainer {
  /** What it prints, with `pipe`; undefined otherwise. */
  readonly stdout: AsyncIterable<Uint8Array> | undefined
  readonly stderr: AsyncIterable<Uint8Array> | undefined
  /** Resolves when it ended and everything about it is cleaned up. A signal's death is 128 + its number. */
  readonly exit: Promise<number>
  /** Sends a signal to the container's first process. */
  kill(signal: NodeJS.Signals): void
}

/** One way to run containers. */
export interface Backend {
  readonly name: BackendName
  /** The program that has to be there. */
  readonly program: string
  /**
   * Starts a container. Failing to start is an exit with a status and words on stderr, as the program itself puts it.
   */
  start(
    container: Container,
    stdio: { stdin: 'inherit' | 'ignore'; output: Stdio },
    host: Host,
  ): Promise<RunningContainer>
  /** Tells whether the image is there already; of backends that keep images themselves. */
  has?(image: RunnableImage, host: Host): Promise<boolean>
  /** Why it is not chosen before others although it works, if there is a reason. */
  drawback?(host: Host): Promise<string | undefined>
}

/** The backends by name, in the order in which they are tried. */
export const BACKEND_NAMES = ['podman', 'docker', 'nerdctl', 'crun', 'runc', 'bubblewrap', 'chroot'] as const

/** The name of a backend. */
export type BackendName = (typeof BACKEND_NAMES)[number]
