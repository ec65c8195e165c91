import type { HostConfiguration, HostOptions } from './hosts.ts'

/** Reads how registries are reached. */
export function loadHosts(options: HostOptions): HostConfiguration {
  const isInsecure = (host: string): boolean =>
    options.insecure === true || (Array.isArray(options.insecure) && options.insecure.includes(host))
  return {
    settings: (registry) => ({
      scheme: 'https',
      insecure: isInsecure(registry),
      blocked: false,
      mirrors: [],
      origins: [],
    }),
    tls: (host) => (isInsecure(host) ? { insecure: true } : undefined),
  }
}
