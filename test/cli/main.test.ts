import { EventEmitter } from 'node:events'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, expect, test } from 'vitest'
import { commands } from '../../src/cli/commands/index.ts'
import { interruptionOf, outputOf, runCommandLine } from '../../src/cli/main.ts'
import { errorToJson, renderError } from '../../src/cli/render-error.ts'
import { BuildError } from '../../src/core/errors.ts'
import { recordIo } from '../support/output.ts'

const store = join(tmpdir(), `layerwright-main-${process.pid}`)
afterAll(() => rm(store, { recursive: true, force: true }))

const plain = { bold: (text: string) => text, red: (text: string) => text, dim: (text: string) => text }

test('--version prints the version alone on stdout', async () => {
  const io = recordIo()
  expect(await runCommandLine(['--version'], io)).toBe(0)
  expect(io.stdout.text()).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(io.stderr.text()).toBe('')
})

test('--help lists every command', async () => {
  const io = recordIo()
  expect(await runCommandLine(['--help'], io)).toBe(0)
  for (const { name, summary } of commands) {
    expect(io.stdout.text()).toContain(name)
    expect(io.stdout.text().replaceAll(/\s+/g, ' ')).toContain(summary)
  }
})

test.each(commands.map(({ name }) => name))('%s --help prints its usage on stdout', async (name) => {
  const io = recordIo()
  expect(await runCommandLine([name, '--help'], io)).toBe(0)
  expect(io.stdout.text()).toContain(`Usage: layerwright ${name}`)
})

test('a misspelt command is a usage error that names the nearest one', async () => {
  const io = recordIo()
  expect(await runCommandLine(['biuld'], io)).toBe(2)
  expect(io.stderr.text()).toContain('Did you mean build?')
  expect(io.stdout.text()).toBe('')
})

test('an unknown option is a usage error', async () => {
  const io = recordIo()
  expect(await runCommandLine(['build', '--tga', 'x'], io)).toBe(2)
  expect(io.stderr.text()).toContain('--tga')
})

test('what the machine has no more of is told in words, whoever met it', async () => {
  const write = (): never => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
  }
  const io = recordIo()
  expect(await runCommandLine(['schema'], { ...io, stdout: { ...io.stdout, write } })).toBe(1)
  expect(io.stderr.text()).toContain('error[HOST_UNSUPPORTED]: This process may not open as many files')
})

test('a limit of the store that is no size is told before anything is made', async () => {
  const io = recordIo({ cwd: '/', env: { LAYERWRIGHT_CACHE_MAX_SIZE: 'abc', LAYERWRIGHT_CACHE: '/dev/null/x' } })
  expect(await runCommandLine(['build'], io)).toBe(2)
  expect(io.stderr.text()).toContain('Not a size: `abc`')
})

test('a key that cannot be read is told before anything is built', async () => {
  const io = recordIo({ cwd: '/', env: { LAYERWRIGHT_CACHE: store } })
  const args = ['push', 'registry.example.test/x', '--no-store', '--project', '/nothere', '--attest-key', 'no.pem']
  expect(await runCommandLine(args, io)).toBe(1)
  expect(io.stderr.text()).toMatch(/FILE_UNREADABLE.*no\.pem/)
})

test('renderError() shows code, message, the causes that add something, and the hint apart', () => {
  const cause = new Error('connect ECONNREFUSED 127.0.0.1:5000')
  const error = new BuildError('NETWORK_FAILED', 'No answer from the registry', { hint: 'Is it running?', cause })
  expect(renderError(error, plain)).toBe(
    [
      'error[NETWORK_FAILED]: No answer from the registry',
      '  caused by: connect ECONNREFUSED 127.0.0.1:5000',
      '',
      'hint: Is it running?',
      '',
    ].join('\n'),
  )
})

test('renderError() shows a fault of the program with its stack', () => {
  expect(renderError(new TypeError('x is not a function'), plain)).toMatch(
    /INTERNAL.*TypeError: x is not[^]*main\.test/,
  )
})

test('errorToJson() keeps code, hint and data', () => {
  const error = new BuildError('USAGE', 'Wrong', { hint: 'Try', data: { a: 1 } })
  expect(errorToJson(error)).toEqual({ type: 'error', code: 'USAGE', message: 'Wrong', hint: 'Try', data: { a: 1 } })
})

test('a pipe gets no colours, also in CI', async () => {
  const stderr = new PassThrough().setEncoding('utf8')
  const io = { ...recordIo(), env: { CI: 'true', LAYERWRIGHT_CACHE: store }, stderr: outputOf(stderr) }
  expect(await runCommandLine(['predict', 'oci:no-such-image', '-i', 'text=you'], io)).not.toBe(0)
  expect(stderr.read()).toMatch(/^error\[[A-Z_]+\]: /)
})

test.each([
  ['SIGINT', 'SIGINT'],
  ['SIGTERM', 'SIGINT'],
  ['SIGHUP', 'SIGTERM'],
])('interruptionOf() aborts at the first signal and ends the process at the second: %s, %s', (first, second) => {
  const signals = new EventEmitter()
  const statuses: number[] = []
  let now = 1000
  const exit = (status: number): void => void statuses.push(status)
  const signal = interruptionOf(signals as unknown as NodeJS.Process, exit, () => now)
  expect(signal.aborted).toBe(false)
  signals.emit(first, first)
  expect(signal.reason).toMatchObject({ code: 'INTERRUPTED' })
  // The same press, as `npx` and `timeout` pass it on.
  now += 299
  signals.emit(second, second)
  expect(statuses).toEqual([])
  now += 1
  signals.emit(second, second)
  expect(statuses).toEqual([130])
})

test('interruptionOf() leaves SIGHUP to a command that reads its files again, as long as it does', () => {
  const signals = new EventEmitter()
  const signal = interruptionOf(signals as unknown as NodeJS.Process, () => undefined)
  let readings = 0
  const again = (): void => void (readings += 1)
  signals.on('SIGHUP', again)
  signals.emit('SIGHUP', 'SIGHUP')
  expect({ aborted: signal.aborted, readings }).toEqual({ aborted: false, readings: 1 })
  signals.off('SIGHUP', again)
  signals.emit('SIGHUP', 'SIGHUP')
  expect({ aborted: signal.aborted, readings }).toEqual({ aborted: true, readings: 1 })
})
