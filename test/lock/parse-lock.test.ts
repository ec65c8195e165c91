import { expect, test } from 'vitest'
import { parseLock } from '../../src/lock/parse-lock.ts'

const HASH = 'a'.repeat(64)
const COMMIT = 'b'.repeat(40)

function lockWith({ place, weight }: { readonly place?: object; readonly weight?: string }): string {
  const wheel = {
    url: 'https://index.example/demo-1.0-py3-none-any.whl',
    sha256: HASH,
    sizeBytes: 1,
    name: 'demo',
    version: '1.0',
    filename: 'demo-1.0-py3-none-any.whl',
    requested: true,
    dependencies: [],
    ...(place === undefined ? {} : { source: { place, buildRequires: [] } }),
  }
  const base = {
    kind: 'debian',
    suite: 'bookworm',
    packages: { suite: 'bookworm', architecture: 'amd64', releases: [], packages: [], scriptsNotRun: [] },
  }
  const platform = {
    platform: { os: 'linux', architecture: 'amd64' },
    base,
    interpreter: { kind: 'debian', version: '3.11.2', executable: '/usr/bin/python3.11' },
    libc: { kind: 'glibc', major: 2, minor: 36 },
    wheels: [wheel],
    launcher: [],
    choices: [],
  }
  const file = { url: 'https://hub.example/a', sha256: HASH, sizeBytes: 1, path: weight }
  const weights = { name: 'w', target: '/src/w', digest: `sha256:${HASH}`, sources: [], files: [file] }
  return JSON.stringify({
    lockVersion: 1,
    inputs: `sha256:${HASH}`,
    platforms: [platform],
    ...(weight === undefined ? {} : { weights: [weights] }),
  })
}

const repository = { kind: 'repository', url: 'https://git.example/demo', commit: COMMIT }

test.each([
  [{}],
  [{ weight: 'model/part-1.bin' }],
  [{ place: { kind: 'archive', subdirectory: 'python/demo' } }],
  [{ place: { ...repository, subdirectory: 'a..b' } }],
])('parseLock() takes %j', (parts) => {
  expect(parseLock(lockWith(parts), 'the lock').platforms).toHaveLength(1)
})

test.each([
  [{ weight: '../part-1.bin' }],
  [{ weight: '/etc/passwd' }],
  [{ place: { kind: 'archive', subdirectory: '../elsewhere' } }],
  [{ place: { kind: 'archive', subdirectory: 'a/../../elsewhere' } }],
  [{ place: { kind: 'archive', subdirectory: '/etc' } }],
  [{ place: { ...repository, subdirectory: '..' } }],
  [{ place: { ...repository, url: '--upload-pack=touch /tmp/x' } }],
  [{ place: { ...repository, url: 'https://-oProxyCommand=x/y' } }],
  [{ place: { ...repository, url: 'ext::sh -c true' } }],
  [{ place: { ...repository, commit: '--output=x' } }],
])('parseLock() refuses %j, which leads out of its folder or into an option', (parts) => {
  expect(() => parseLock(lockWith(parts), 'the lock')).toThrow(expect.objectContaining({ code: 'LOCK_STALE' }))
})
