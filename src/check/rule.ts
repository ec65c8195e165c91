import type { ImageConfig } from 'oci-spec-types'

/** The running server as a check asks it. */
export interface Probe {
  /** One request; undefined when there is no answer in time. */
  ask(method: string, path: string, options?: AskOptions): Promise<ProbeAnswer | undefined>
  /** Sends SIGTERM to the server. */
  terminate(): void
  /** The exit status of the server, once it has ended. */
  readonly exit: Promise<number>
  /** A valid input of the model, if one is known. */
  readonly input: Readonly<Record<string, unknown>>
}

/** How a probe asks. */
export interface AskOptions {
  readonly body?: unknown
  readonly timeoutMs?: number
  /** Address of this machine that is asked, instead of 127.0.0.1. */
  readonly host?: string
}

/** An answer with its body as JSON, if it is that. */
export interface ProbeAnswer {
  readonly status: number
  readonly body: unknown
  readonly milliseconds: number
}

/** What is known of the image without running it. */
export interface ImageFacts {
  readonly config: ImageConfig
  /** Media type of the manifest. */
  readonly mediaType: string
  readonly architecture: string
}

/** One rule of a platform. */
export interface Rule {
  readonly name: string
  /** Where the platform says so. */
  readonly why: string
  /** Undefined when the rule holds; else what was found. */
  check(probe: Probe, image: ImageFacts): Promise<string | undefined>
}
