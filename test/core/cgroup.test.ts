import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { readCgroupLimits, type CgroupLimits } from '../../src/core/cgroup.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

/** Reads the limits of a machine that has these files. */
async function limitsOf(files: Readonly<Record<string, string>>): Promise<CgroupLimits> {
  const root = await mkdtemp(path.join(tmpdir(), 'cgroup-'))
  folders.push(root)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.join(root, path.dirname(name)), { recursive: true })
    await writeFile(path.join(root, name), text)
  }
  return readCgroupLimits(root)
}

const NONE = { processors: undefined, memoryBytes: undefined }
const MIB = 2 ** 20

test('a machine without control groups limits nothing', async () => {
  expect(await limitsOf({})).toEqual(NONE)
})

test.each<[string, Readonly<Record<string, string>>, CgroupLimits]>([
  [
    'a container of version 2 sees its own group at the root',
    {
      'proc/self/cgroup': '0::/\n',
      'sys/fs/cgroup/cpu.max': '200000 100000\n',
      'sys/fs/cgroup/memory.max': `${512 * MIB}\n`,
    },
    { processors: 2, memoryBytes: 512 * MIB },
  ],
  [
    'version 2 without limits',
    {
      'proc/self/cgroup': '0::/\n',
      'sys/fs/cgroup/cpu.max': 'max 100000\n',
      'sys/fs/cgroup/memory.max': 'max\n',
    },
    NONE,
  ],
  [
    'the strictest of a group and those above it holds',
    {
      'proc/self/cgroup': '0::/system.slice/ci.service/job\n',
      'sys/fs/cgroup/system.slice/cpu.max': '150000 100000\n',
      'sys/fs/cgroup/system.slice/memory.max': 'max\n',
      'sys/fs/cgroup/system.slice/ci.service/cpu.max': '400000 100000\n',
      'sys/fs/cgroup/system.slice/ci.service/memory.max': `${400 * MIB}\n`,
      'sys/fs/cgroup/system.slice/ci.service/job/cpu.max': 'max 100000\n',
      'sys/fs/cgroup/system.slice/ci.service/job/memory.max': `${900 * MIB}\n`,
    },
    { processors: 1.5, memoryBytes: 400 * MIB },
  ],
  [
    'a path of the host that a container does not see',
    { 'proc/self/cgroup': '0::/../../docker/abc\n', 'sys/fs/cgroup/cpu.max': '50000 100000\n' },
    { processors: 0.5, memoryBytes: undefined },
  ],
  [
    'version 1, with controllers mounted together',
    {
      'proc/self/cgroup': '4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n1:name=systemd:/docker/abc\n',
      'sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us': '300000\n',
      'sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us': '100000\n',
      'sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': `${300 * MIB}\n`,
    },
    { processors: 3, memoryBytes: 300 * MIB },
  ],
  [
    'version 1 without limits says so by -1 and by a number of pages',
    {
      'proc/self/cgroup': '2:cpu:/\n3:memory:/\n',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    },
    NONE,
  ],
  [
    'both versions at once',
    {
      'proc/self/cgroup': '3:memory:/job\n0::/job\n',
      'sys/fs/cgroup/memory/job/memory.limit_in_bytes': `${300 * MIB}\n`,
      'sys/fs/cgroup/unified/job/cpu.max': '100000 50000\n',
    },
    { processors: 2, memoryBytes: 300 * MIB },
  ],
  [
    'what is no number limits nothing',
    {
      'proc/self/cgroup': 'nonsense\n0::/\n',
      'sys/fs/cgroup/cpu.max': '\n',
      'sys/fs/cgroup/memory.max': 'much\n',
    },
    NONE,
  ],
])('%s', async (_, files, limits) => {
  expect(await limitsOf(files)).toEqual(limits)
})
