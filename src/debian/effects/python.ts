import type { System } from './system.ts'

/** What the scripts of Debian's Python packages create; bytecode is compiled when a module is first imported. */
export function python(system: System): void {
  if (system.package('python3') !== undefined && !system.has('etc/python3/debian_config')) {
    if (!system.has('etc/python3')) system.folder('etc/python3')
    system.write(
      'etc/python3/debian_config',
      '[DEFAULT]\n# how to byte-compile (comma separated: standard, optimize)\nbyte-compile = standard\n',
    )
  }
  for (const { package: name } of system.packages) {
    const version = /^python(3\.\d+)-minimal$/.exec(name)?.[1]
    if (version === undefined) continue
    for (const folder of [`usr/local/lib/python${version}`, `usr/local/lib/python${version}/dist-packages`]) {
      if (!system.has(folder)) system.folder(folder)
    }
  }
}
