import type { RuntimeSpec } from 'oci-spec-types'
import type { Backend } from '../container.ts'
import { startDirect, type DirectContainer } from '../direct.ts'
import { compileFilter } from '../seccomp/bpf.ts'
import { kernelFilters, seccompFilter } from '../seccomp/filter.ts'
import { shellScript, shellSpec } from '../shell-mounts.ts'
import { which } from '../which.ts'

/**
 * bubblewrap: enters the root file system that a script has put together, with fewer capabilities. It maps one user id,
 * so the image's user, whoever it is, has the caller's files.
 */
export const bubblewrap: Backend = {
  name: 'bubblewrap',
  program: 'bwrap',
  start: (container, stdio, host) =>
    startDirect(container, stdio, host, (container, folders) => {
      const spec = shellSpec(container, host)
      const filter = kernelFilters() ? seccompFilter() : undefined
      const options = [...bwrapArgs(container, spec), ...(filter === undefined ? [] : ['--seccomp', '8'])]
      return {
        network: container.network,
        files: {
          'config.json': JSON.stringify(spec),
          // The environment may hold secrets, and everybody can read command lines.
          'bwrap.args': options.join('\0'),
          'seccomp.bpf': filter === undefined ? '' : compileFilter(filter),
        },
        script: shellScript(container, spec, folders),
        enter: '"$@" 8<seccomp.bpf 9<bwrap.args',
        args: [which('bwrap', host.env) ?? 'bwrap', '--args', '9', '--', ...container.process.args],
        // bwrap waits for its child and passes no signal on.
        processDepth: 2,
      }
    }),
}

function bwrapArgs(container: DirectContainer, spec: RuntimeSpec): string[] {
  const { env, cwd, uid, gid } = container.process
  const kept = (spec.process.capabilities?.['bounding'] ?? []).flatMap((name) => ['--cap-add', name])
  return [
    '--dev-bind',
    'root',
    '/',
    '--chdir',
    cwd,
    '--die-with-parent',
    '--unshare-uts',
    '--hostname',
    container.hostname,
    ...(uid === 0 ? ['--cap-drop', 'ALL', ...kept] : ['--unshare-user', '--uid', String(uid), '--gid', String(gid)]),
    '--clearenv',
    ...env.flatMap((line) => ['--setenv', line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  ]
}
