import { makeHttp, type HttpOptions } from '../../src/core/http.ts'
import type { Credential } from '../../registry/credentials.ts'
import type { HostSettings } from '../../registry/hosts.ts'
import { Registries, type RegistriesOptions } from '../../registry/registries.ts'

/** How {@link quickRegistries} differs from plain HTTP without credentials. */
export interface QuickOptions extends RegistriesOptions {
  readonly login?: Credential
  readonly http?: never
  readonly network?: HttpOptions
  readonly settings?: Partial<HostSettings>
}

/** Registries over plain HTTP that do not really wait between tries; `waits` are the milliseconds asked for. */
export function quickRegistries(options: QuickOptions = {}): {
  readonly registries: Registries
  readonly waits: number[]
} {
  const waits: number[] = []
  let now = Date.now()
  const waiting = {
    sleep: async (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted()
      waits.push(Math.round(ms))
      now += ms
    },
    random: () => 1,
    now: () => now,
  }
  const { login, network, settings, http: _, ...rest } = options
  const hosts = {
    settings: () => ({
      scheme: 'http' as const,
      insecure: false,
      blocked: false,
      mirrors: [],
      origins: [],
      ...settings,
    }),
    tls: () => undefined,
  }
  const registries = new Registries({
    env: {},
    waiting,
    hosts,
    credentials: async () => (login === undefined ? undefined : { credential: login, origin: 'test' }),
    ...rest,
    http: makeHttp({ env: {}, waiting, ...network }),
  })
  return { registries, waits }
}
