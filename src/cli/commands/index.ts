import type { CommandEntry } from '../command.ts'

/** Every command, in the order of the help. Adding one is a file and a line. */
export const commands: readonly CommandEntry[] = [
  { name: 'build', group: 'Build', summary: 'build an image from cog.yaml', load: () => import('./build.ts') },
  {
    name: 'push',
    group: 'Build',
    summary: 'build an image and push it to its registry',
    load: () => import('./push.ts'),
  },
  {
    name: 'predict',
    aliases: ['run'],
    group: 'Run',
    summary: 'run one prediction',
    load: () => import('./predict.ts'),
  },
  { name: 'serve', group: 'Run', summary: "start the model's HTTP server", load: () => import('./serve.ts') },
  { name: 'exec', group: 'Run', summary: 'run any command in the image', load: () => import('./exec.ts') },
  { name: 'train', group: 'Run', summary: 'run one training', load: () => import('./train.ts') },
  {
    name: 'lock',
    group: 'Build',
    summary: 'write what indexes and registries answer now to a lock file',
    load: () => import('./lock.ts'),
  },
  { name: 'plan', group: 'Look', summary: 'show what would be built, and why', load: () => import('./plan.ts') },
  { name: 'inspect', group: 'Look', summary: 'show what an image is made of', load: () => import('./inspect.ts') },
  {
    name: 'resolve',
    group: 'Look',
    summary: 'find the wheels that Python requirements need on a target',
    load: () => import('./resolve.ts'),
  },
  {
    name: 'copy',
    aliases: ['cp'],
    group: 'Move',
    summary: 'copy an image between registries, layouts and archives',
    load: () => import('./copy.ts'),
  },
  { name: 'tags', group: 'Look', summary: 'list the tags of a repository', load: () => import('./tags.ts') },
  {
    name: 'login',
    group: 'Move',
    summary: 'log in to a registry, for this program, Docker and podman',
    load: () => import('./login.ts'),
  },
  { name: 'logout', group: 'Move', summary: 'forget the login of a registry', load: () => import('./logout.ts') },
  {
    name: 'registry',
    group: 'Move',
    summary: 'serve an OCI registry from this machine',
    load: () => import('./registry.ts'),
  },
  {
    name: 'init',
    group: 'Set up',
    summary: 'write the files of a new project',
    load: () => import('./init.ts'),
  },
  {
    name: 'doctor',
    group: 'Set up',
    summary: 'look for what is wrong with the machine, the network or the project',
    load: () => import('./doctor.ts'),
  },
  {
    name: 'schema',
    group: 'Set up',
    summary: 'print the JSON Schema of cog.yaml, or the OpenAPI document of a model',
    load: () => import('./schema.ts'),
  },
  {
    name: 'cache',
    group: 'Look',
    summary: 'look into the local store, and make it smaller',
    load: () => import('./cache.ts'),
  },
]
