import { Option, type Command as Program } from 'commander'
import { BuildError } from '../core/errors.ts'
import type { Report } from '../core/progress.ts'

/** A flag of Cog's that this program has no use for, with what becomes of it. */
export interface CogFlag {
  /** As commander takes it. */
  readonly flags: string
  /** Commands that have it in Cog. */
  readonly commands: readonly string[]
  /** `note`: accepted, and said to have no effect; `refused`: an error; `silent`: accepted, since nothing differs. */
  readonly outcome: 'note' | 'refused' | 'silent'
  /** The reason, and what to do instead. */
  readonly reason: string
  /** Which values this is about; all of them unless given. */
  readonly when?: (value: unknown) => boolean
  /** How the page writes it with those values. */
  readonly shown?: string
}

const BUILDS = ['build', 'push', 'plan']
const RUNS = ['predict', 'serve', 'exec', 'train']
const isFalse = (value: unknown): boolean => value === false || value === 'false'

/** Every such flag. The page `docs/reference/cog-commands.md` is made from it. */
export const COG_FLAGS: readonly CogFlag[] = [
  {
    flags: '--no-cache',
    commands: BUILDS,
    outcome: 'note',
    reason: 'Layers follow from their inputs alone; `--refresh` asks indexes and registries again.',
    when: isFalse,
  },
  {
    flags: '--separate-weights',
    commands: BUILDS,
    outcome: 'note',
    reason: 'Files of 10 MiB or more are layers of their own in any case.',
  },
  {
    flags: '--use-cog-base-image [value]',
    commands: [...BUILDS, ...RUNS],
    outcome: 'note',
    reason: "Cog's prebuilt bases are never used; layers of packages are shared between images instead.",
  },
  {
    flags: '--use-cuda-base-image [value]',
    commands: [...BUILDS, ...RUNS],
    outcome: 'refused',
    reason: 'The base is part of the configuration: set `base: slim` under `build`.',
    when: isFalse,
    shown: '--use-cuda-base-image=false',
  },
  {
    flags: '--use-cuda-base-image [value]',
    commands: [...BUILDS, ...RUNS],
    outcome: 'note',
    reason: 'An nvidia/cuda image is the base of projects with `gpu: true` in any case.',
  },
  {
    flags: '--dockerfile <file>',
    commands: BUILDS,
    outcome: 'refused',
    reason: 'No Dockerfile is read. Use `build.base_image` and `build.run`.',
  },
  {
    flags: '--openapi-schema <file>',
    commands: BUILDS,
    outcome: 'refused',
    reason:
      'The document is made from the source, so that image and server agree; `layerwright schema --openapi` prints it.',
  },
  {
    flags: '--skip-schema-validation',
    commands: BUILDS,
    outcome: 'note',
    reason: 'The document is made by parsing and needs no validation.',
  },
  {
    flags: '--strip',
    commands: BUILDS,
    outcome: 'note',
    reason: 'Wheels are laid down byte for byte as published, so that their layers can be shared and verified.',
  },
  {
    flags: '--precompile',
    commands: BUILDS,
    outcome: 'note',
    reason: 'Bytecode is left to Python; wheels are laid down byte for byte as published.',
  },
  {
    flags: '--timestamp <seconds>',
    commands: BUILDS,
    outcome: 'refused',
    reason: 'Times are fixed in any case; set SOURCE_DATE_EPOCH to choose another.',
    when: (value) => value !== '-1',
  },
  { flags: '--image-name <name>', commands: ['plan'], outcome: 'note', reason: 'A plan has no use for a name.' },
  {
    flags: '--playground',
    commands: ['serve'],
    outcome: 'note',
    reason: 'The served model has a page of its own at /docs.',
  },
  {
    flags: '--playground-port <port>',
    commands: ['serve'],
    outcome: 'note',
    reason: 'The served model has a page of its own at /docs, on its own port.',
  },
  {
    flags: '--upload-url <url>',
    commands: ['serve'],
    outcome: 'refused',
    reason: 'Give it to the server: `-e LAYERWRIGHT_UPLOAD_URL=...`.',
  },
  {
    flags: '--use-replicate-token',
    commands: ['predict'],
    outcome: 'refused',
    reason: 'No token is taken from this machine; name what the model needs with `-e`.',
  },
  {
    flags: '-p, --publish <port>',
    commands: ['exec'],
    outcome: 'note',
    reason: "The container shares this machine's network, so every port is reachable as it is.",
  },
  {
    flags: '--token-stdin',
    commands: ['login'],
    outcome: 'silent',
    reason: 'The same as `--password-stdin`; the registry and the user are named, such as `login r8.im -u NAME`.',
  },
  {
    flags: '--no-color',
    commands: [...BUILDS, ...RUNS],
    outcome: 'note',
    reason: 'Before the command it takes the colours away, as `NO_COLOR=1` does.',
    when: isFalse,
  },
  {
    flags: '--debug',
    commands: [...BUILDS, ...RUNS],
    outcome: 'silent',
    reason: '`--progress json` tells everything that happens.',
  },
]

/** Makes a command accept Cog's flags, hidden from its help; those that it has itself stay its own. */
export function defineCogFlags(program: Program, command: string): void {
  for (const { flags, commands } of COG_FLAGS) {
    const option = new Option(flags).hideHelp()
    if (!commands.includes(command) || program.options.some((own) => clashes(own, option))) continue
    program.addOption(option)
  }
}

function clashes(a: Option, b: Option): boolean {
  return a.long === b.long || (a.short !== undefined && a.short === b.short)
}

/**
 * Says what becomes of Cog's flags that were given.
 *
 * @throws BuildError NOT_SUPPORTED for the first one that is refused
 */
export function judgeCogFlags(command: string, program: Program, report: Report): void {
  const judged = new Set<string>()
  for (const flag of COG_FLAGS) {
    const option = program.options.find((own) => own.flags === flag.flags && own.hidden)
    if (option === undefined || !flag.commands.includes(command) || judged.has(flag.flags)) continue
    const name = option.attributeName()
    if (program.getOptionValueSource(name) !== 'cli') continue
    if (flag.when?.(program.getOptionValue(name)) === false) continue
    judged.add(flag.flags)
    if (flag.outcome === 'refused') {
      throw new BuildError('NOT_SUPPORTED', `This flag of Cog's is not supported: \`${option.long}\``, {
        hint: flag.reason,
      })
    }
    if (flag.outcome === 'note') {
      report({ type: 'note', level: 'warning', text: `${option.long} has no effect. ${flag.reason}`, code: 'COG_FLAG' })
    }
  }
}

/** Cog's commands with their names here. */
const COMMANDS: readonly (readonly [string, string, string])[] = [
  ['build', 'build', ''],
  ['push', 'push', 'builds first, as Cog does'],
  [
    'run, predict',
    'predict (alias run)',
    '`--json @file` and `--json @-` bring inputs, as in Cog; `--json` alone prints the result as JSON',
  ],
  ['serve', 'serve', ''],
  ['exec', 'exec', ''],
  ['train', 'train', ''],
  ['init', 'init', 'overwrites nothing'],
  ['login', 'login', ''],
  ['doctor', 'doctor', ''],
  ['debug', 'plan (alias debug)', 'prints the plan; there is no Dockerfile'],
  [
    'weights import, pull, status',
    'weights import, pull, status',
    '`import` writes the lock file and makes the layers; they are sent with the image, by `push`',
  ],
  ['playground', '-', 'the served model has a page at /docs'],
]

/** The page about Cog's commands and flags as Markdown. */
export function renderCogCommands(): string {
  const commands = COMMANDS.map(([cog, ours, note]) => `| \`${cog}\` | ${ours} | ${note} |`)
  const words = { note: 'accepted, with a note', refused: 'refused', silent: 'accepted' }
  const flags = COG_FLAGS.map(
    ({ flags, shown, commands, outcome, reason }) =>
      `| \`${shown ?? flags}\` | ${commands.join(', ')} | ${words[outcome]} | ${reason} |`,
  )
  return `# Cog's commands and flags

<!-- Made from src/cli/cog-flags.ts by tools/reference.mjs; a test fails when it is stale. -->

\`alias cog=layerwright\` serves who is used to Cog: commands and flags of the same name mean the same. This page lists what
has another name, and the flags that make no sense without Docker.

| Cog | here | note |
|---|---|---|
${commands.join('\n')}

| flag | commands | here | reason |
|---|---|---|---|
${flags.join('\n')}
`
}
