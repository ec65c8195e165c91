import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { noteContainer, ownLabel, removeContainer, removeLeftover } from '../../src/run/leftover-container.ts'

let folder: string
let env: Record<string, string>
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leftover-'))
  mkdirSync(join(folder, 'bin'))
  env = { PATH: [join(folder, 'bin'), process.env['PATH'] ?? ''].join(delimiter) }
})
afterEach(() => rmSync(folder, { recursive: true }))

/** An engine that knows one container by its label, and writes down what it is told. */
function engine({ label = '', status = 0, unknown = 'none' } = {}): () => string {
  const log = join(folder, 'log')
  writeFileSync(log, '')
  const script = `#!/bin/sh
echo "$*" >>'${log}'
case "$*" in
  *" ps "*"label=${label}") [ -z '${label}' ] || echo 4f5e6d;;
  *'${unknown}'*) exit 125;;
esac
exit ${status}
`
  writeFileSync(join(folder, 'bin/podman'), script)
  chmodSync(join(folder, 'bin/podman'), 0o755)
  return () => readFileSync(log, 'utf8')
}

const container = { engine: 'podman', options: ['--cgroup-manager=cgroupfs'], name: 'layerwright-0a1b' } as const

test('removeLeftover() takes the container of the folder away, by its label and with the options it was started with', async () => {
  const log = engine({ label: ownLabel(container.name) })
  noteContainer(folder, container)
  expect(await removeLeftover(folder, env)).toBe(true)
  expect(log()).toBe(
    '--cgroup-manager=cgroupfs ps --all --quiet --filter label=run.layerwright.container=layerwright-0a1b\n' +
      '--cgroup-manager=cgroupfs rm --force --time=0 4f5e6d\n',
  )
})

test('removeLeftover() goes without what a podman before 4.0 does not know', async () => {
  const log = engine({ label: ownLabel(container.name), unknown: '--time=0' })
  noteContainer(folder, container)
  expect(await removeLeftover(folder, env)).toBe(true)
  expect(log()).toMatch(/ rm --force --time=0 4f5e6d\n.* rm --force 4f5e6d\n$/)
})

test('removeLeftover() asks no engine for a run without one, or one that was cut short', async () => {
  const log = engine({ label: ownLabel(container.name) })
  expect(await removeLeftover(folder, env)).toBe(true)
  writeFileSync(join(folder, 'engine-container'), '{"engine":"pod')
  expect(await removeLeftover(folder, env)).toBe(true)
  expect(log()).toBe('')
})

test('removeContainer() leaves what is not ours, and tells of an engine that does not answer', async () => {
  const other = engine({ label: ownLabel('layerwright-other') })
  expect(await removeContainer(container, env)).toBe(true)
  expect(other()).not.toContain('rm')
  engine({ status: 125 })
  expect(await removeContainer(container, env)).toBe(false)
  expect(await removeContainer(container, { PATH: join(folder, 'nothing') })).toBe(true)
})
