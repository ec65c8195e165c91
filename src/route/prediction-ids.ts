/** A request about one prediction or training, which one server knows. */
export interface IdRequest {
  readonly id: string
  /** A server that does not know the id says 404 and has done nothing: another one may be asked. */
  readonly canAskAround: boolean
}

/** What is remembered of each is bounded. */
const LONGEST_ID = 256
const ID_PATH = /^\/(?:v1\/)?(predictions|trainings)\/([^/?#]+)(\/[^?#]*)?(?:\?|#|$)/

/** Reads the id out of a request's line; undefined when the request is about none. */
export function readIdRequest(method: string, path: string, hasBody: boolean): IdRequest | undefined {
  const [, kind, id, rest] = ID_PATH.exec(path) ?? []
  if (kind === undefined || id === undefined || id.length > LONGEST_ID) return undefined
  const isCancel = method === 'POST' && rest === '/cancel'
  const isLook = method === 'GET' || method === 'HEAD'
  return { id: `${kind}/${id}`, canAskAround: !hasBody && (isLook || isCancel) }
}

/** Which server an id is of; the ids that were seen last. */
export class KnownIds {
  readonly #most: number
  readonly #servers = new Map<string, string>()

  constructor(most: number) {
    this.#most = most
  }

  get(id: string): string | undefined {
    return this.#servers.get(id)
  }

  set(id: string, server: string): void {
    // Last in the order of insertion.
    this.#servers.delete(id)
    this.#servers.set(id, server)
    if (this.#servers.size <= this.#most) return
    const [oldest] = this.#servers.keys()
    if (oldest !== undefined) this.#servers.delete(oldest)
  }
}
