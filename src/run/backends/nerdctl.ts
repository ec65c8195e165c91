import { dockerOptions } from './docker.ts'
import { engine } from './engine.ts'

/** nerdctl, the command line of containerd. */
export const nerdctl = engine('nerdctl', { globalOptions: () => [], runOptions: dockerOptions })
