import { Repository } from './repository.ts'
import type { Storage } from './storage.ts'
import { UploadSessions } from './upload-session.ts'

/** What a registry can be told. */
export interface RegistrySettings {
  /** Accept manifests that name blobs or manifests which are not there (sparse images); false unless given. */
  readonly allowMissing?: boolean | undefined
  /** The least size of a chunk that is not the last one; announced as `OCI-Chunk-Min-Length`. None unless given. */
  readonly minChunkBytes?: number | undefined
}

/** The state of one registry, which its handlers share. */
export class Registry {
  readonly storage: Storage
  readonly uploads: UploadSessions
  readonly settings: RegistrySettings
  readonly #repositories = new Map<string, Repository>()

  constructor(storage: Storage, settings: RegistrySettings = {}) {
    this.storage = storage
    this.uploads = new UploadSessions(storage)
    this.settings = settings
  }

  /** A repository for writing; it exists once something is in it. */
  repository(name: string): Repository {
    const known = this.#repositories.get(name)
    if (known !== undefined) return known
    const made = new Repository(this.storage, name)
    this.#repositories.set(name, made)
    return made
  }

  /** A repository that holds something. Asking for one that does not leaves no trace. */
  async existing(name: string): Promise<Repository | undefined> {
    const known = this.#repositories.get(name) ?? new Repository(this.storage, name)
    return (await known.contents()) === undefined ? undefined : (this.#repositories.get(name) ?? this.#keep(known))
  }

  #keep(repository: Repository): Repository {
    this.#repositories.set(repository.name, repository)
    return repository
  }
}
