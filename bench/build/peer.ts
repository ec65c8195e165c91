import type { Cost } from './measure.ts'

/** What a peer builds from, and where to. */
export interface PeerContext {
  /** Empty before, removed after. */
  readonly scratch: string
  /** The code that goes into the image. */
  readonly project: string
  /** `localhost:PORT`, with `base/python:3.11`. */
  readonly registry: string
  readonly index: string
  readonly uv: string
  readonly crane: string
  readonly buildkitd: string
  readonly buildctl: string
  readonly rootlesskit: string
  /** An account with subordinate ids, where root runs the benchmark. */
  readonly rootlessUser: string
  hasTool(name: string): Promise<boolean>
}

/** Another way to the same image. */
export interface Peer {
  /** The program that is not there, if there is one. */
  lacks(context: PeerContext): Promise<string | undefined>
  /** Gets ready, with nothing cached. */
  start(context: PeerContext): Promise<RunningPeer>
  /** Whether a second build finds what the first one made; others do everything anew. */
  readonly keeps: boolean
}

/** A peer with what it keeps between builds. */
export interface RunningPeer {
  /** Builds what the project holds now, and pushes. */
  build(requirements: readonly string[]): Promise<Cost>
  close(): Promise<void>
}
