import { oneAtATime } from '../../src/store/single-flight.ts'

// A process of its own for `single-flight.test.ts`: takes the lock, says so, and keeps it until it is told to end.
await oneAtATime(process.argv[2] ?? '', 'work', async () => {
  process.stdout.write('held\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
})
process.exit()
