import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { runCommand, type Finished } from '../support/command.ts'

let folder = ''
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'lw-stdout-'))))
afterAll(() => rm(folder, { recursive: true }))

const main = pathToFileURL(join(packageRoot(), 'dist/src/cli/main.js')).href

/** Runs a command line of the program in a shell, as `$run`. */
function inShell(script: string): Promise<Finished> {
  const run = `"${process.execPath}" --input-type=module -e "import { main } from '${main}'; await main(process.argv.slice(1))" --`
  return runCommand('sh', ['-c', script.replaceAll('$run', run)], { cwd: folder })
}

test.skipIf(!existsSync('/dev/full'))('a result that cannot be written is an error', async () => {
  const { status, stderr } = await inShell('$run schema > /dev/full')
  expect(stderr).toContain('error[DISK_FULL]: No space left to write the result to standard output')
  expect(status).toBe(1)
})

// What Node takes for written when the disk takes a part.
test.skipIf(process.platform !== 'linux')('a result that is written in part is an error', async () => {
  const { status, stderr } = await inShell(`trap '' XFSZ; ulimit -f 1; $run schema > part`)
  expect((await readFile(join(folder, 'part'))).length).toBeGreaterThan(0)
  expect(stderr).toContain('error[DISK_FULL]')
  expect(status).toBe(1)
})

test.skipIf(process.platform === 'win32')('a reader that has gone is no error', async () => {
  // The status of the program, on a descriptor of its own.
  const { stdout, stderr } = await inShell(`{ { $run schema; echo "status $?" >&3; } | true; } 3>&1`)
  expect([stdout, stderr]).toEqual(['status 0\n', ''])
})

test.skipIf(!existsSync('/dev/full'))('what is said on the way may be lost, the result is told', async () => {
  const { status, stdout } = await inShell(
    '$run schema --insecur 2> /dev/full; echo "status $?"; $run schema 2> /dev/full',
  )
  expect(stdout).toMatch(/^status 2\n\{/)
  expect(status).toBe(0)
})

// Where a shell stands in a folder that a job before has removed, or a deployment has replaced.
test.skipIf(process.platform === 'win32')('a folder that was removed is told of in words', async () => {
  // Node takes no module from the command line there.
  const script = join(folder, 'run.mjs')
  await writeFile(script, `import { main } from '${main}'; await main(['schema'])`)
  const { status, stderr } = await inShell(
    `mkdir gone && cd gone && rmdir ../gone && "${process.execPath}" "${script}"`,
  )
  expect(stderr).toContain('error[FILE_UNREADABLE]: The current folder does not exist any more')
  expect(status).toBe(1)
})
