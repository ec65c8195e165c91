/**
 * Writes src/run/seccomp/profile.json from the default profile of containers/common (Apache-2.0), as Debian's
 * golang-github-containers-common installs it: `node tools/seccomp.mjs [/usr/share/containers/seccomp.json]`.
 *
 * What depends on capabilities is decided here, since containers always get the same ones (see runtime-spec.ts). On top
 * of it, what docker's and containerd's profiles keep for CAP_SYS_ADMIN is taken out: mounts, new namespaces, other
 * processes' namespaces, the kernel's keyrings.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const CAPABILITIES = new Set(['CAP_SYS_CHROOT'])
const ARCHITECTURES = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' }
const WITHHELD = [
  'add_key',
  'fsconfig',
  'fsmount',
  'fsopen',
  'fspick',
  'keyctl',
  'mount',
  'mount_setattr',
  'move_mount',
  'open_tree',
  'pivot_root',
  'request_key',
  'setdomainname',
  'sethostname',
  'setns',
  'swapoff',
  'swapon',
  'umount',
  'umount2',
  'unshare',
]
/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} */
const NAMESPACES = 0x7e020000
const [EPERM, ENOSYS] = [1, 38]

const source = process.argv[2] ?? '/usr/share/containers/seccomp.json'
const profile = JSON.parse(readFileSync(source, 'utf8'))
const architectures = {}
for (const [name, architecture] of Object.entries(ARCHITECTURES)) {
  const others = profile.archMap.find((entry) => entry.architecture === architecture)?.subArchitectures ?? []
  const syscalls = profile.syscalls
    .filter((rule) => applies(rule, name))
    .map(tighten)
    .filter(({ names }) => names.length > 0)
  architectures[name] = { architectures: [architecture, ...others], syscalls: [...syscalls, ...ours()] }
}
const text = {
  origin: 'containers/common 0.50.1, pkg/seccomp/seccomp.json, evaluated and tightened by tools/seccomp.mjs',
  license: 'Apache-2.0',
  defaultAction: profile.defaultAction,
  defaultErrnoRet: profile.defaultErrnoRet,
  byArchitecture: architectures,
}
writeFileSync(new URL('../src/run/seccomp/profile.json', import.meta.url), `${JSON.stringify(text, undefined, 1)}\n`)

function applies({ includes = {}, excludes = {} }, architecture) {
  const has = (capability) => CAPABILITIES.has(capability)
  if (includes.arches !== undefined && !includes.arches.includes(architecture)) return false
  if (includes.caps !== undefined && !includes.caps.every(has)) return false
  return !(excludes.caps ?? []).some(has) && !(excludes.arches ?? []).includes(architecture)
}

function tighten({ names, action, errnoRet, args = [] }) {
  const taken = action === 'SCMP_ACT_ALLOW' ? [...WITHHELD, 'clone', 'clone3'] : []
  return {
    names: names.filter((name) => !taken.includes(name)),
    action,
    ...(errnoRet === undefined || action === 'SCMP_ACT_ALLOW' ? {} : { errnoRet }),
    ...(args.length === 0 ? {} : { args }),
  }
}

function ours() {
  return [
    { names: WITHHELD, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
    // A filter cannot see the flags of clone3; the C library falls back to clone.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    {
      names: ['clone'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value: NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
    },
  ]
}
