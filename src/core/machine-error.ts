import { BuildError, systemErrorCode } from './errors.ts'

/** What the machine says when it has no more of something, or is broken: whatever was done then, the reason is not there. */
const REFUSALS: Readonly<Record<string, readonly [code: BuildError['code'], message: string, hint: string]>> = {
  EMFILE: [
    'HOST_UNSUPPORTED',
    'This process may not open as many files as it needs',
    'Raise the limit of open files: `ulimit -n 1024`, or LimitNOFILE of a service.',
  ],
  ENFILE: [
    'HOST_UNSUPPORTED',
    'This machine has too many open files',
    'End what holds them (`lsof`), or raise fs.file-max.',
  ],
  ENOMEM: [
    'HOST_UNSUPPORTED',
    'This machine has too little memory left',
    'End what takes it, or raise the limit of this process.',
  ],
  EAGAIN: [
    'HOST_UNSUPPORTED',
    'This user may not start as many processes as it needs',
    'Raise the limit of processes: `ulimit -u`, or TasksMax of a service.',
  ],
  ENOSPC: [
    'DISK_FULL',
    'No space left on a disk',
    'Free some space. LAYERWRIGHT_CACHE says where the store lies, TMPDIR where temporary files do.',
  ],
  EDQUOT: [
    'DISK_FULL',
    'No space left of what this user may take on a disk',
    'Free some space, or name another disk in LAYERWRIGHT_CACHE.',
  ],
  EIO: ['FILE_UNREADABLE', 'A disk does not answer as it should', 'Look at what the kernel says of it: `dmesg`.'],
  ESTALE: [
    'FILE_UNREADABLE',
    'A file on a network disk has gone away',
    'Mount the disk again, and run the same command again.',
  ],
}

/** Turns what the machine refused, wherever that was, into an error that says so; other errors stay what they are. */
export function explainMachineError(error: unknown): unknown {
  const found = REFUSALS[systemErrorCode(error) ?? '']
  if (found === undefined || error instanceof BuildError) return error
  const [code, message, hint] = found
  return new BuildError(code, message, { hint, cause: error })
}
