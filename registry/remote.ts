import { isDigest } from 'oci-spec-types'
import type { HttpResponse } from '../src/core/http.ts'
import type { Connection, RegistryRequest } from './connection.ts'

/** A repository on one server; a mirror may keep it under another name. */
export interface RemoteOptions {
  readonly connection: Connection
  readonly repository: string
  /** Added to requests, such as containerd's `ns=docker.io`. */
  readonly query?: string | undefined
  /** Whether tags may be asked for here, or digests only. True unless given. */
  readonly resolvesTags?: boolean | undefined
}

/** Sends requests about one repository of one server, with a token that fits. */
export class Remote {
  readonly connection: Connection
  readonly repository: string
  readonly resolvesTags: boolean
  /** What tokens must allow here. */
  readonly scopes: readonly string[]
  /** The repository as the user named it, for messages: `host/repository`. */
  readonly name: string
  readonly #query: string | undefined
  readonly #signal: AbortSignal | undefined

  constructor(
    options: RemoteOptions,
    use: { readonly name: string; readonly scopes: readonly string[]; readonly signal?: AbortSignal | undefined },
  ) {
    this.connection = options.connection
    this.repository = options.repository
    this.resolvesTags = options.resolvesTags !== false
    this.#query = options.query
    this.name = use.name
    this.scopes = use.scopes
    this.#signal = use.signal
  }

  /** @param request its `path` is below the repository, such as `/tags/list`, or a whole URL that the registry gave */
  send(request: Omit<RegistryRequest, 'scopes'>): Promise<HttpResponse> {
    return this.connection.send({
      ...request,
      signal: request.signal ?? this.#signal,
      path: request.path.startsWith('/') ? this.#below(request.path) : request.path,
      scopes: this.scopes,
    })
  }

  /** A manifest for messages: `host/repository:tag` or `host/repository@digest`. */
  at(reference: string): string {
    return `${this.name}${isDigest(reference) ? '@' : ':'}${reference}`
  }

  #below(path: string): string {
    const whole = `/${this.repository}${path}`
    return this.#query === undefined ? whole : `${whole}${path.includes('?') ? '&' : '?'}${this.#query}`
  }
}
