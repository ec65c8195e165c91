import { dockerOptions } from './docker.ts'
import { engine } from './engine.ts'

/** nerdctl, the command line of containerd. */
export const nerdctl = engine('nerdctl', {
  globalOptions: () => [],
  // Releases before 2 know no `--quiet`, and all take a standard input that is no file and no named pipe, such as ours, for none.
  loadCommand: (command) => ['sh', '-c', 'cat | "$@"', 'sh', ...command, 'load'],
  runOptions: dockerOptions,
})
