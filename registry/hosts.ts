import type { Environment, TlsSettings } from '../src/core/http.ts'

/** A server that may be asked instead of a registry. */
export interface MirrorSettings {
  /** Host and port. */
  readonly host: string
  readonly scheme: 'https' | 'http' | 'either'
  readonly insecure: boolean
  /** Path of the API, `/v2` unless given. */
  readonly path?: string | undefined
  /** The repository there for a repository of the registry. */
  readonly repository: (repository: string) => string
  readonly query?: string | undefined
  readonly resolvesTags: boolean
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** How a registry is reached, and where that was said. */
export interface HostSettings {
  readonly scheme: 'https' | 'http' | 'either'
  readonly insecure: boolean
  readonly blocked: boolean
  /** Another server or path that serves the registry itself. */
  readonly location?: MirrorSettings | undefined
  readonly mirrors: readonly MirrorSettings[]
  /** Files that said something about it, for `doctor`. */
  readonly origins: readonly string[]
}

/** Answers how registries are reached and whom to trust there. */
export interface HostConfiguration {
  /** @param registry as in references; `repository` decides between rules for parts of a registry */
  settings(registry: string, repository: string): HostSettings
  /** Certificates for a server, by host and port. */
  tls(host: string): TlsSettings | undefined
}

/** A place where configuration may lie, and what came of it for one registry. */
export interface ConfigPlace {
  /** A path, a variable or an option. */
  readonly where: string
  /** `silent`: it is there and says nothing that counts. */
  readonly state: 'absent' | 'silent' | 'used'
}

/** What was looked at, in the order in which it counts. */
export interface HostPlaces {
  readonly settings: readonly ConfigPlace[]
  readonly certificates: readonly ConfigPlace[]
}

/** Where configuration lies. */
export interface HostOptions {
  readonly env: Environment
  readonly home?: string | undefined
  /** True for every registry, or these hosts only. */
  readonly insecure?: boolean | readonly string[] | undefined
  /** Folders in place of the system's `/etc`; for tests. */
  readonly systemFolder?: string | undefined
}

/** A file of configuration: its text and where it lies. */
export interface ConfigFile {
  readonly path: string
  readonly text: string
}
