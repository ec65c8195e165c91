/**
 * Writes src/run/seccomp/tables/syscalls.json, the numbers of the calls that profile.json names, from the kernel's own headers
 * as Debian's linux-libc-dev for amd64 installs them; takes gcc: `node tools/syscalls.mjs`.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const folder = new URL('../src/run/seccomp/', import.meta.url)
const profile = JSON.parse(readFileSync(new URL('profile.json', folder), 'utf8'))

/** What arm64's own asm/unistd.h adds to the common list. */
const ARM64 = ['RENAMEAT', 'NEW_STAT', 'SET_GET_RLIMIT', 'TIME32_SYSCALLS', 'SYS_CLONE3', 'MEMFD_SECRET']
const numbers = {
  SCMP_ARCH_X86_64: numbersIn('asm/unistd_64.h', 'amd64'),
  SCMP_ARCH_X86: numbersIn('asm/unistd_32.h', 'amd64'),
  SCMP_ARCH_AARCH64: numbersIn('asm-generic/unistd.h', 'arm64', ARM64),
}
const version = execFileSync('dpkg-query', ['-W', '-f', '${Version}', 'linux-libc-dev'], { encoding: 'utf8' })
const lines = Object.entries(numbers).map(([name, table]) => `${JSON.stringify(name)}: ${JSON.stringify(table)}`)
writeFileSync(
  new URL('tables/syscalls.json', folder),
  `{\n"origin": "user-space headers of Linux, Debian linux-libc-dev ${version}, read by tools/syscalls.mjs",\n` +
    `"license": "GPL-2.0-only WITH Linux-syscall-note",\n"numbers": {\n${lines.join(',\n')}\n}\n}\n`,
)

function numbersIn(header, architecture, wanted = []) {
  const input = `${wanted.map((name) => `#define __ARCH_WANT_${name}\n`).join('')}#include <${header}>\n`
  const text = execFileSync('gcc', ['-E', '-dM', '-xc', '-'], { input, encoding: 'utf8' })
  const defined = new Map([...text.matchAll(/^#define __NR(\w+) (\w+)$/gm)].map(([, name, value]) => [name, value]))
  const names = new Set(profile.byArchitecture[architecture].syscalls.flatMap((rule) => rule.names))
  const found = [...names]
    .toSorted((a, b) => (a < b ? -1 : 1))
    .flatMap((name) => {
      let value = defined.get(`_${name}`)
      while (value?.startsWith('__NR')) value = defined.get(value.slice('__NR'.length))
      return value === undefined ? [] : [[name, Number(value)]]
    })
  return Object.fromEntries(found)
}
