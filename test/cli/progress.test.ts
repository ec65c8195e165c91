import { expect, test } from 'vitest'
import { chooseProgress, type ProgressMode } from '../../src/cli/progress/choose.ts'
import { formatBytes, formatDuration, oneLine, truncate } from '../../src/cli/progress/format.ts'
import { plainProgress } from '../../src/cli/progress/plain.ts'
import { terminalProgress } from '../../src/cli/progress/terminal.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import { recordOutput } from '../support/output.ts'

/** One build as every renderer gets it: [milliseconds, event]. */
const BUILD: readonly (readonly [number, ProgressEvent])[] = [
  [0, { type: 'start', id: 'a', name: 'resolve' }],
  [400, { type: 'end', id: 'a', outcome: 'cached' }],
  [400, { type: 'note', level: 'warning', text: 'torch is not pinned' }],
  [500, { type: 'start', id: 'b', name: 'layers' }],
  [500, { type: 'start', id: 'c', name: 'numpy', parent: 'b', totalBytes: 20_000_000 }],
  [1500, { type: 'bytes', id: 'c', bytes: 10_000_000 }],
  [2500, { type: 'end', id: 'c', outcome: 'done' }],
  [2500, { type: 'bytes', id: 'b', bytes: 20_000_000 }],
  [2600, { type: 'end', id: 'b', outcome: 'done', detail: '3 layers' }],
]

test('plainProgress() prints one line for each top task and each note', () => {
  const output = recordOutput()
  let time = 0
  const report = plainProgress(output, () => time)
  for (const [at, event] of BUILD) {
    time = at
    report(event)
  }
  report.close()
  expect(output.text()).toBe(
    ['cached  resolve (0.4s)', 'warning: torch is not pinned', 'done    layers 3 layers 20.0 MB (2.1s)', ''].join('\n'),
  )
})

test('terminalProgress() leaves the same lines on the screen as plainProgress()', () => {
  const output = recordOutput({ isTerminal: true, columns: 100 })
  let time = 0
  const report = terminalProgress(output, () => time)
  for (const [at, event] of BUILD) {
    time = at
    report(event)
  }
  report.close()
  expect(screen(output.text())).toEqual([
    'cached  resolve (0.4s)',
    'warning: torch is not pinned',
    'done    layers 3 layers 20.0 MB (2.1s)',
  ])
})

test('plainProgress() leaves the reason of a failure to the error, and figures to what has moved', () => {
  const output = recordOutput()
  const report = plainProgress(output, () => 0)
  report({ type: 'start', id: 'a', name: 'torch' })
  report({ type: 'bytes', id: 'a', bytes: 10 })
  report({ type: 'end', id: 'a', outcome: 'failed', detail: 'Not enough space' })
  report.close()
  expect(output.text()).toBe('failed  torch (0.0s)\n')
})

test('a command of several lines is one line of progress, running and ended', () => {
  const output = recordOutput({ isTerminal: true, columns: 100 })
  const report = terminalProgress(output, () => 0)
  report({ type: 'start', id: 'a', name: 'run: echo a\necho b\n' })
  report({ type: 'note', level: 'info', text: 'beside it' })
  report({ type: 'end', id: 'a', outcome: 'done' })
  report.close()
  expect(screen(output.text())).toEqual(['beside it', 'done    run: echo a echo b (0.0s)'])
})

test('terminalProgress() shortens a name before it cuts the figures', () => {
  const output = recordOutput({ isTerminal: true, columns: 100 })
  let time = 0
  const report = terminalProgress(output, () => time)
  report({ type: 'start', id: 'a', name: `system packages: ${'package '.repeat(20)}` })
  time = 1000
  report({ type: 'bytes', id: 'a', bytes: 10_000_000, totalBytes: 20_000_000 })
  report({ type: 'note', level: 'info', text: 'drawn' })
  expect(output.text()).toContain('… 10.0 MB of 20.0 MB, 10.0 MB/s, 1.0s left')
  report.close()
})

test('terminalProgress() gives names the room of bars on a narrow terminal, and where nothing has a bar', () => {
  const name = 'system packages: adduser apt base-files bash coreutils'
  const drawn = (columns: number, totalBytes?: number): string => {
    const output = recordOutput({ isTerminal: true, columns })
    let time = 0
    const report = terminalProgress(output, () => time)
    report({ type: 'start', id: 'a', name, ...(totalBytes === undefined ? {} : { totalBytes }) })
    time = 1000
    report({ type: 'bytes', id: 'a', bytes: 10_000_000 })
    report({ type: 'note', level: 'info', text: 'drawn' })
    const line = output.text().split('\n').at(-2) ?? ''
    report.close()
    return line
  }
  expect(drawn(60)).toBe('  system packages: adduser apt base-fi… 10.0 MB, 10.0 MB/s')
  expect(drawn(60, 20_000_000)).toBe('  system packages: adduser apt base-fi… 10.0 MB of 20.0 MB…')
  expect(drawn(120)).toBe(`  ${name} 10.0 MB, 10.0 MB/s`)
  expect(drawn(120, 20_000_000)).toMatch(/^━{10}─{10} system packages: /)
})

test('terminalProgress() keeps the line of an ended task in one row', () => {
  const ended = (columns: number): string => {
    const output = recordOutput({ isTerminal: true, columns })
    const report = terminalProgress(output, () => 0)
    report({
      type: 'start',
      id: 'a',
      name: 'system packages: adduser apt base-files bash coreutils dash debianutils e2fsprogs',
    })
    report({ type: 'bytes', id: 'a', bytes: 10_000_000 })
    report({ type: 'end', id: 'a', outcome: 'done' })
    report.close()
    return screen(output.text())[0] ?? ''
  }
  expect(ended(80)).toBe('done    system packages: adduser apt base-files bash coreutils … 10.0 MB (0.0s)')
  expect(ended(80).length).toBeLessThan(80)
  expect(ended(200)).toMatch(/^done {4}system packages: .{54}… 10\.0 MB/)
})

test('terminalProgress() draws over what the terminal echoes for a key', () => {
  const output = recordOutput({ isTerminal: true, columns: 100 })
  const report = terminalProgress(output, () => 0)
  report({ type: 'start', id: 'a', name: 'x' })
  report({ type: 'note', level: 'info', text: 'drawn' })
  report({ type: 'end', id: 'a', outcome: 'failed' })
  report.close()
  expect(output.text()).toMatch(/\r\x1b\[1A\x1b\[K\n\x1b\[K\x1b\[1Afailed {2}x \(0\.0s\)\n$/)
})

test('terminalProgress() never erases the screen, which tmux would keep in its history', () => {
  const output = recordOutput({ isTerminal: true, columns: 100 })
  const report = terminalProgress(output, () => 0)
  for (const id of ['a', 'b']) report({ type: 'start', id, name: id })
  report({ type: 'note', level: 'info', text: 'drawn' })
  report({ type: 'note', level: 'info', text: 'drawn again' })
  report.close()
  expect(screen(output.text())).toEqual(['drawn', 'drawn again'])
  expect(output.text()).not.toContain('\x1b[J')
})

test('json progress prints each event as one line of JSON', () => {
  const output = recordOutput()
  const report = chooseProgress('json', output, {})
  for (const [, event] of BUILD) report(event)
  expect(
    output
      .text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual(BUILD.map(([, event]) => event))
})

test.each<[ProgressMode, boolean, Record<string, string>, boolean]>([
  ['auto', true, {}, true],
  ['auto', false, {}, false],
  ['auto', true, { CI: 'true' }, false],
  ['auto', true, { TERM: 'dumb' }, false],
  ['plain', true, {}, false],
  ['tty', false, {}, true],
])('chooseProgress(%s) on a terminal: %s with %o moves the cursor: %s', (mode, isTerminal, env, movesCursor) => {
  const output = recordOutput({ isTerminal })
  const report = chooseProgress(mode, output, env)
  report({ type: 'start', id: 'a', name: 'x' })
  report({ type: 'note', level: 'info', text: 'drawn' })
  report({ type: 'note', level: 'info', text: 'drawn again' })
  report.close()
  expect(output.text().includes('\x1b[')).toBe(movesCursor)
})

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [12_345_678, '12.3 MB'],
  [99_960_000, '100 MB'],
  [3_940_000_000, '3.9 GB'],
])('formatBytes(%i) is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

test.each([
  [0, '0.0s'],
  [9_940, '9.9s'],
  [9_960, '10s'],
  [61_000, '1m 01s'],
  [3_720_000, '1h 02m'],
])('formatDuration(%i) is %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('truncate() marks what it cuts', () => {
  expect(truncate('abcdef', 6)).toBe('abcdef')
  expect(truncate('abcdefg', 6)).toBe('abcde…')
})

test('oneLine() joins lines, and takes out what steers a terminal', () => {
  expect(oneLine('run: a\n  b\n')).toBe('run: a b')
  expect(oneLine('a\u001b[2Jb\r\tc\u009b1A')).toBe('a [2Jb c 1A')
})

/** What a terminal shows in the end above its cursor: knows line feeds, returns, cursor up and erase to the end of a line. */
function screen(text: string): string[] {
  const rows: string[] = ['']
  let [row, column] = [0, 0]
  for (const part of text.match(/\r|\n|\x1b\[\d*[A-Z]|[^\r\n\x1b]+/g) ?? []) {
    const line = rows[row] ?? ''
    const up = /^\x1b\[(\d+)A$/.exec(part)
    if (part === '\r') column = 0
    else if (part === '\x1b[K') rows[row] = line.slice(0, column)
    else if (up !== null) row -= Number(up[1])
    else if (part === '\n') {
      row++
      column = 0
      rows[row] ??= ''
    } else {
      expect(part).not.toContain('\x1b')
      rows[row] = line.slice(0, column).padEnd(column) + part + line.slice(column + part.length)
      column += part.length
    }
  }
  return rows.slice(0, row)
}
