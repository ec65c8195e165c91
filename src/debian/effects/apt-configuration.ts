import defaults from '../../core/defaults.json' with { type: 'json' }
import { SLIM_RULES, type LeaveOut } from '../leave-out.ts'
import type { System } from './system.ts'

/**
 * Makes what the official images add for apt and dpkg: where packages come from, no caches in layers, no services started.
 *
 * @param suite  code name of the release
 */
export function aptConfiguration(system: System, suite: string, leaveOut: LeaveOut): void {
  if (system.package('apt') === undefined) return
  const keyring = ['pgp', 'gpg']
    .map((ending) => `usr/share/keyrings/debian-archive-keyring.${ending}`)
    .find((path) => system.has(path))
  const signedBy = keyring === undefined ? '' : `Signed-By: /${keyring}\n`
  const source = (uri: string, suites: string): string =>
    `Types: deb\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\n${signedBy}`
  system.write(
    'etc/apt/sources.list.d/debian.sources',
    `${source(defaults.debianArchive, `${suite} ${suite}-updates`)}\n${source(defaults.debianSecurityArchive, `${suite}-security`)}`,
  )
  const clean = 'rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true'
  system.write(
    'etc/apt/apt.conf.d/docker-clean',
    [
      `DPkg::Post-Invoke { "${clean}"; };`,
      `APT::Update::Post-Invoke { "${clean}"; };`,
      'Dir::Cache::pkgcache "";',
      'Dir::Cache::srcpkgcache "";',
      '',
    ].join('\n'),
  )
  system.write('etc/apt/apt.conf.d/docker-no-languages', 'Acquire::Languages "none";\n')
  system.write('etc/apt/apt.conf.d/docker-gzip-indexes', 'Acquire::GzipIndexes "true";\n')
  system.write('etc/apt/apt.conf.d/docker-autoremove-suggests', 'Apt::AutoRemove::SuggestsImportant "false";\n')
  // invoke-rc.d asks this script; 101 means that nothing may be started.
  system.write('usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  if (leaveOut === 'slim') {
    const rules = SLIM_RULES.map((rule) => rule.replace(' ', '='))
    system.write(
      'etc/dpkg/dpkg.cfg.d/docker',
      `# Documentation and translations are left out of this image.\n${rules.join('\n')}\n`,
    )
  }
}
