import type { TlsSettings } from './tls.ts'

/** Hosts whose certificates are not checked, filled while settings are read; for `tls` of `makeHttp`. */
export class TrustedHosts {
  readonly #hosts = new Set<string>()

  /** @param hosts with or without port, in any case */
  add(hosts: readonly string[]): void {
    for (const host of hosts) this.#hosts.add(host.toLowerCase())
  }

  /** @param host as in a URL: with the port unless it is the usual one */
  settingsFor(host: string): TlsSettings | undefined {
    const name = host.toLowerCase()
    const isTrusted = this.#hosts.has(name) || this.#hosts.has(name.replace(/:\d+$/, ''))
    return isTrusted ? { insecure: true } : undefined
  }
}
