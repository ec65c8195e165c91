import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mustRun, runCommand, type Finished } from '../support/command.ts'

/* `run` steps as part of a whole build: what a secret leaves, and how a step ends that is interrupted or killed. */

const root = join(import.meta.dirname, '..', '..')
const cli = join(root, 'bin', 'layerwright.mjs')
const cache = join(root, '.cache', 'interop-store')
const CANARY = 's3cret-canary-of-a-whole-build'
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lw-steps-'))
  mkdirSync(cache, { recursive: true })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const layerwright = (args: readonly string[]): Promise<Finished> =>
  mustRun(process.execPath, [cli, ...args], { cwd: folder, env: { LAYERWRIGHT_CACHE: cache } })

function project(name: string, run: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  writeFileSync(join(path, 'cog.yaml'), `build:\n  python_version: "3.11"\n  run:\n${run}run: "run.py:Runner"\n`)
  writeFileSync(join(path, 'run.py'), readFileSync(join(root, 'examples/hello/run.py'), 'utf8'))
  return path
}

test('a secret is in no layer, log, history or cache', async () => {
  const mark = `made-${process.pid}-${Date.now()}`
  const command = `test -s /run/secrets/token && wc -c < /run/secrets/token > /${mark}`
  const path = project(
    'secret',
    `    - command: ${command}\n      mounts:\n        - type: secret\n          id: token\n          target: /run/secrets/token\n`,
  )
  writeFileSync(join(folder, 'token'), CANARY)
  writeFileSync(join(folder, 'before'), '')
  const image = `oci:${folder}/secret-image:v1`
  const secret = ['--secret', `id=token,src=${join(folder, 'token')}`]
  const built = await layerwright(['build', path, ...secret, '-o', image])
  expect(built.stdout + built.stderr).not.toContain(CANARY)
  const look = `cat /${mark}; ls /run/secrets 2>/dev/null; grep -rl ${CANARY.slice(0, 10)} /etc /root /run /src /tmp /var`
  const { stdout } = await mustRun(
    'sh',
    ['-c', '"$@" || true', 'sh', process.execPath, cli, 'exec', '-q', '--image', image, '--', 'sh', '-c', look],
    {
      env: { LAYERWRIGHT_CACHE: cache },
    },
  )
  expect(stdout.trim()).toBe(String(CANARY.length))
  const inspected = await layerwright(['inspect', image, '--json'])
  expect(inspected.stdout).not.toContain(CANARY)
  // Records and logs are text; what lies compressed was looked at above, and byte by byte in run.test.ts.
  const search = `find ${cache} ${folder}/secret-image -newer ${folder}/before -type f -print0 | xargs -0 -r grep -l ${CANARY} || true`
  expect((await mustRun('sh', ['-c', search])).stdout).toBe('')
})

test('a secret of a variable is a file for the step alone, and is masked where the step prints it', async () => {
  const command = 'set -x; cat /run/secrets/token; echo $(cat /run/secrets/token); wc -c < /run/secrets/token > /size'
  const mount = '      mounts:\n        - type: secret\n          id: token\n          target: /run/secrets/token\n'
  const path = project('variable', `    - command: "${command}; echo ${process.pid} > /made"\n${mount}`)
  const image = `oci:${folder}/variable-image:v1`
  const { stdout, stderr } = await mustRun(
    process.execPath,
    [cli, 'build', path, '--secret', 'id=token,env=BUILD_TOKEN', '-o', image],
    { cwd: folder, env: { LAYERWRIGHT_CACHE: cache, BUILD_TOKEN: CANARY } },
  )
  expect(stdout + stderr).not.toContain(CANARY)
  expect(stderr).toContain('echo ***')
  const look = 'cat /size; ls /run/secrets 2>/dev/null; env'
  const seen = await layerwright(['exec', '-q', '--image', image, '--', 'sh', '-c', `${look} || true`])
  expect(seen.stdout).toMatch(new RegExp(`^${CANARY.length}$`, 'm'))
  expect(seen.stdout).not.toContain(CANARY)
  const places = [cache, `${folder}/variable-image`, '/dev/shm', process.env['XDG_RUNTIME_DIR'] ?? '/dev/shm']
  const search = `find ${places.join(' ')} -newer ${path}/cog.yaml -type f -print0 | xargs -0 -r grep -l ${CANARY} || true`
  expect((await mustRun('sh', ['-c', search])).stdout).toBe('')
})

test('a cache of a flag is there while the command runs, and in no layer', async () => {
  const mark = `cached-${process.pid}-${Date.now()}`
  const flags = `--mount=type=cache,id=${mark},target=/var/lib/kept --mount=type=tmpfs,target=/etc/apt`
  const command = 'ls -A /var/lib/kept /etc/apt > /seen; head -c 100000 /dev/zero > /var/lib/kept/$0; echo made > /made'
  const path = project('cache', `    - "${flags} ${command.replace('$0', mark)}"\n`)
  const image = `oci:${folder}/cache-image:v1`
  await layerwright(['build', path, '-o', image])
  const look = 'cat /made /seen; ls -d /var/lib/kept; ls /etc/apt'
  const { stdout } = await layerwright(['exec', '-q', '--image', image, '--', 'sh', '-c', `exec 2>&1; ${look}`])
  expect(stdout).toContain('made\n/etc/apt:\n\n/var/lib/kept:\n')
  expect(stdout).toMatch(/ls: .*\/var\/lib\/kept.*No such file/)
  expect(stdout).toContain('sources.list')
  const kept = await found(cache, mark)
  expect(kept.filter((place) => !place.startsWith(join(cache, 'step-caches')))).toEqual([])
  expect(kept).toHaveLength(1)
  expect(await found(join(cache, 'tmp'), '.cache-*')).toEqual([])
  // It does look.
  expect(await found(folder, 'cog.yaml')).toContain(join(path, 'cog.yaml'))
})

/** A store of its own, with what the others' has: caches are told by it as a whole. */
function storeWith(name: string): Readonly<Record<string, string>> {
  return { LAYERWRIGHT_CACHE: join(folder, `${name}-store`) }
}

test('a cache holds what commands before have left, and counts neither for the layer nor for its key', async () => {
  const env = storeWith('kept')
  const mount = '--mount=type=cache,id=notes,target=/notes'
  const text = (n: number): string => `    - "${mount} ls /notes; touch /notes/file-${n}; echo made > /made"\n`
  const path = project('kept', text(1))
  const build = async (...flags: string[]): Promise<{ digest: string; stderr: string }> => {
    const args = [cli, 'build', path, '--progress', 'plain', '--json', ...flags]
    const { stdout, stderr } = await mustRun(process.execPath, args, { cwd: folder, env })
    return { digest: (JSON.parse(stdout) as { digest: string }).digest, stderr }
  }
  const du = async (): Promise<number> => {
    const { stdout } = await mustRun(process.execPath, [cli, 'cache', 'du', '--json'], { env })
    const { parts } = JSON.parse(stdout) as { parts: { what: string; files: number }[] }
    return parts.find(({ what }) => what === 'caches of run steps')?.files ?? -1
  }
  const first = await build()
  expect(await du()).toBe(1)
  // Not run again, whatever the cache holds by now.
  const again = await build('--refresh')
  expect(again.digest).toBe(first.digest)
  expect(again.stderr).not.toContain('| file-')
  const changed = (n: number): void =>
    writeFileSync(join(path, 'cog.yaml'), readFileSync(join(path, 'cog.yaml'), 'utf8').replace(/file-\d/, `file-${n}`))
  changed(2)
  expect((await build()).stderr).toContain('| file-1')
  changed(3)
  expect((await build('--no-step-caches')).stderr).not.toContain('| file-')
  changed(4)
  const { stderr } = await build()
  expect(stderr).toContain('| file-2')
  expect(stderr).not.toContain('| file-3')
  await mustRun(process.execPath, [cli, 'cache', 'prune'], { env })
  expect(await du()).toBe(0)
  // With an empty cache the command makes the same layer.
  changed(1)
  expect((await build()).digest).toBe(first.digest)
})

test('builds side by side, and one that was killed, leave a locked cache whole', async () => {
  const env = storeWith('locked')
  const mount = '--mount=type=cache,id=count,sharing=locked,target=/c'
  const add = 'n=$(cat /c/n || echo 0); mkdir /c/alone; sleep 0.3; echo $((n + 1)) > /c/n; rmdir /c/alone'
  const mark = `held-${process.pid}-${Date.now()}`
  const command = (text: string): string => `    - "${mount} set -e; ${text}"\n`
  const held = project('held', command(`cat /c/n || true; echo ${mark}; while :; do sleep 0.1; done`))
  const child = spawn(process.execPath, [cli, 'build', held], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await untilPrinted(child, mark)
  const builds = ['a', 'b', 'c'].map((name) => {
    const path = project(`count-${name}`, command(`${add}; echo ${name} > /made`))
    return mustRun(process.execPath, [cli, 'build', path], { cwd: folder, env })
  })
  await sleep(1000)
  const ended = once(child, 'close')
  child.kill('SIGKILL')
  await ended
  await Promise.all(builds)
  const path = project('counted', command('cp /c/n /made; echo counted $(cat /c/n)'))
  const { stderr } = await mustRun(process.execPath, [cli, 'build', path, '--progress', 'plain'], { env })
  expect(stderr).toContain('| counted 3')
})

const INTERRUPTIONS: readonly (readonly [name: string, id: string, signals: readonly NodeJS.Signals[]])[] = [
  ['Ctrl-C', 'once', ['SIGINT']],
  ['Ctrl-C twice', 'twice', ['SIGINT', 'SIGINT']],
  ['a kill that nobody can catch', 'killed', ['SIGKILL']],
]
test.each(INTERRUPTIONS)(
  '%s in the middle of a step ends it, and leaves neither mount nor half a layer',
  async (_name, id, signals) => {
    const mark = `step-${id}-${process.pid}-${Date.now()}`
    // One that does not listen: a first Ctrl-C gives it a while, a second ends it.
    const deaf = signals.length > 1 ? "trap '' INT TERM; " : ''
    const path = project(id, `    - "${deaf}echo half > /half; echo ${mark}; while :; do sleep 0.1; done"\n`)
    const image = `${folder}/${id}-image`
    const child = spawn(process.execPath, [cli, 'build', path, '-o', `oci:${image}`], {
      env: { ...process.env, LAYERWRIGHT_CACHE: cache },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    await untilPrinted(child, mark)
    const ended = once(child, 'close')
    for (const signal of signals) {
      child.kill(signal)
      // Sooner it would be the same press.
      await sleep(500)
    }
    const [status] = (await ended) as [number | null]
    expect(status).toBe(signals.includes('SIGINT') ? 130 : null)
    for (let turn = 0; turn < 600 && processesWith(mark).length > 0; turn++) await sleep(100)
    expect(processesWith(mark)).toEqual([])
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`run-${child.pid}-`)
    expect(existsSync(join(image, 'index.json'))).toBe(false)
    // Whoever runs next clears away what a killed one could not.
    await layerwright(['exec', '-q', '--image', await hello(), '--', 'true'])
    expect(leftBy(child)).toEqual([])
  },
)

let helloImage: Promise<string> | undefined
function hello(): Promise<string> {
  const image = `oci:${folder}/hello-image:v1`
  helloImage ??= layerwright(['build', join(root, 'examples/hello'), '-q', '-o', image]).then(() => image)
  return helloImage
}

/** Files below a folder by their names; others use the store meanwhile, and what goes away under the search is no matter. */
async function found(below: string, name: string): Promise<readonly string[]> {
  const { stdout } = await runCommand('find', [below, '-name', name])
  return stdout.split('\n').filter((line) => line !== '')
}

/** Resolves once the step prints; what is printed goes on being read. */
async function untilPrinted(child: ChildProcess, mark: string): Promise<void> {
  let text = ''
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`The step never ran: ${text}`)))
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      // The command itself is told before it runs.
      if (text.split('\n').some((line) => line.includes(mark) && !line.includes('echo'))) resolve()
    })
  })
}

function leftBy(child: ChildProcess): string[] {
  const tmp = join(cache, 'rootfs', String(process.getuid?.() ?? 0), 'tmp')
  return readdirSync(tmp).filter((name) => name.includes(`-${child.pid}-`))
}

function processesWith(mark: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`echo ${mark}`)
    } catch {
      // It ended meanwhile.
      return false
    }
  })
}
