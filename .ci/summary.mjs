// Adds up what every suite reported and prints one plain line. Fails when a suite left no report, or when
// an interop test was skipped.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder] = process.argv.slice(2)
const expected = ['unit.json', 'python.xml', 'unit-lts.json', 'interop.json']
const total = { passed: 0, failed: 0, skipped: 0 }

for (const name of readdirSync(folder).sort()) {
  const text = readFileSync(join(folder, name), 'utf8')
  const counts = name.endsWith('.json')
    ? fromVitest(JSON.parse(text))
    : name.endsWith('.xml')
      ? fromJunit(text)
      : undefined
  if (counts === undefined) continue
  console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
  for (const key of Object.keys(total)) total[key] += counts[key]
  // Elsewhere a test may have nothing to do on a machine; with other people's tools nothing may be missing here.
  if (name === 'interop.json' && counts.skipped > 0) total.failed += counts.skipped
}

const absent = expected.filter((name) => !readdirSync(folder).includes(name))
for (const name of absent) console.log(`${name}: no report`)
total.failed += absent.length
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`)
process.exitCode = total.failed > 0 ? 1 : 0

function fromVitest(report) {
  // A file that did not even load has no tests, yet it failed.
  const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0)
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

function fromJunit(xml) {
  const number = (name) => Number(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`).exec(xml)?.[1] ?? 0)
  const failed = number('failures') + number('errors')
  return { passed: number('tests') - failed - number('skipped'), failed, skipped: number('skipped') }
}
