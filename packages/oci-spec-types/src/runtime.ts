/**
 * The part of the OCI runtime specification's `config.json` that this project writes.
 *
 * @see OCI runtime-spec, config.md and config-linux.md
 */
export interface RuntimeSpec {
  readonly ociVersion: string
  readonly root: { readonly path: string; readonly readonly?: boolean }
  readonly hostname?: string
  readonly process: RuntimeProcess
  readonly mounts: readonly RuntimeMount[]
  readonly hooks?: Readonly<Record<string, readonly RuntimeHook[]>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly linux: RuntimeLinux
}

/** See {@link RuntimeSpec}. */
export interface RuntimeProcess {
  readonly terminal?: boolean
  readonly user: {
    readonly uid: number
    readonly gid: number
    readonly umask?: number
    readonly additionalGids?: readonly number[]
  }
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly capabilities?: Readonly<Record<string, readonly string[]>>
  readonly rlimits?: readonly { readonly type: string; readonly hard: number; readonly soft: number }[]
  readonly noNewPrivileges?: boolean
}

/** See {@link RuntimeSpec}. */
export interface RuntimeMount {
  readonly destination: string
  readonly type?: string
  readonly source?: string
  readonly options?: readonly string[]
}

/** See {@link RuntimeSpec}. */
export interface RuntimeHook {
  readonly path: string
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  readonly timeout?: number
}

/** See {@link RuntimeSpec}. */
export interface RuntimeDevice {
  readonly type: 'c' | 'b' | 'u' | 'p'
  readonly path: string
  readonly major?: number
  readonly minor?: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

/** See {@link RuntimeSpec}. */
export interface RuntimeIdMapping {
  readonly containerID: number
  readonly hostID: number
  readonly size: number
}

/** See {@link RuntimeSpec}. */
export interface RuntimeLinux {
  readonly namespaces: readonly { readonly type: string; readonly path?: string }[]
  readonly uidMappings?: readonly RuntimeIdMapping[]
  readonly gidMappings?: readonly RuntimeIdMapping[]
  readonly devices?: readonly RuntimeDevice[]
  readonly resources?: {
    readonly devices?: readonly {
      readonly allow: boolean
      readonly type?: string
      readonly major?: number
      readonly minor?: number
      readonly access?: string
    }[]
  }
  readonly cgroupsPath?: string
  readonly maskedPaths?: readonly string[]
  readonly readonlyPaths?: readonly string[]
  readonly seccomp?: unknown
}
