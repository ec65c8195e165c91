import { z } from 'zod'
import { models, pipelines } from './pipelines-schema.ts'
import { concurrency, pointer, predict } from './predictor-schema.ts'

/*
 * The shape of cog.yaml, key by key. The JSON Schema, the reference page and the checks of one value are all made from
 * it; checks that need two keys or the disk are in `checks.ts`.
 *
 * `meta` keys: `description` (Markdown, one paragraph), `default` as the reader sees it, `since: 'layerwright'` for keys
 * that Cog does not have, `replacement` for deprecated ones.
 */

const OURS = { since: 'layerwright' } as const

/** Versions may be written without quotes; the loader hands over the digits as they stand (`3.10`, not 3.1). */
const version = (pattern: RegExp, message: string) =>
  z
    .string()
    .regex(pattern, message)
    .meta({ type: ['string', 'number'] })

const nonEmpty = z.string().min(1, 'This text is empty')

const name = nonEmpty.regex(/^[^\s\0]+$/, 'A name holds no white space')

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'A sha256 is 64 hexadecimal digits in lower case')

const url = z.string().regex(/^(https?|file):\/\/\S+$/, 'An address starts with https://, http:// or file://')

const secretMount = z
  .strictObject({
    type: z.enum(['secret']).meta({ description: 'Only `secret` exists.' }),
    id: name.meta({ description: 'The name under which `--secret id=...` brings it.' }),
    target: z
      .string()
      .regex(/^\/./, 'The target is an absolute path')
      .meta({ description: 'Absolute path at which the command finds it.' }),
  })
  .meta({ description: 'A file that is there while the command runs and in no layer.' })

const runStep = z
  .union([
    nonEmpty,
    z.strictObject({
      command: nonEmpty.meta({ description: 'Given to `/bin/sh -c`.' }),
      mounts: z.array(secretMount).optional().meta({ description: 'Secrets for this command alone.' }),
    }),
  ])
  .meta({
    description:
      'A shell command, or a mapping of `command` and `mounts`. Before a command `--mount=type=cache,target=...` may stand, as in a Dockerfile.',
  })

const pythonIndex = z
  .strictObject({
    url: url.optional().meta({
      description: 'The index that is asked first, instead of the default one. Without a GPU torch comes from it too.',
    }),
    extra_urls: z.array(url).optional().meta({ description: 'Further indexes, asked in this order.' }),
    packages: z
      .record(z.string(), url)
      .optional()
      .meta({ description: 'The one index that a package comes from, by package name.' }),
    strategy: z.enum(['first-index', 'unsafe-best-match']).optional().meta({
      description: 'Whether the first index that has a package decides, or all of them.',
      default: 'first-index',
    }),
    exclude_newer: z
      .string()
      .regex(
        /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))?$/,
        'A date is written 2026-01-31, or with a time as in RFC 3339',
      )
      .optional()
      .meta({ description: 'Leaves out files that were uploaded after this date.' }),
  })
  .meta({ description: 'Where Python packages come from.', ...OURS })

const targets = z
  .strictObject({
    architectures: z
      .array(
        z
          .string()
          .regex(/^(sm_\d{2,3}[af]?|\d{1,2}\.\d)$/, 'A GPU architecture is written `sm_90` or `9.0`')
          .meta({ type: ['string', 'number'] }),
      )
      .min(1, 'This list is empty')
      .optional()
      .meta({ description: 'GPU architectures that the image must run on.', examples: [['sm_80', 'sm_90']] }),
    min_driver: version(/^\d{3}(\.\d+){0,2}$/, 'A driver version is written `535` or `535.104.05`')
      .optional()
      .meta({
        description:
          'The oldest NVIDIA driver that the image must run with. Decides the newest CUDA that is chosen by itself.',
        default: '525.60.13',
      }),
  })
  .meta({ description: 'The GPUs that the image must run on; what cannot is refused at build time.', ...OURS })

const debian = z
  .strictObject({
    release: z
      .enum(['bookworm', 'trixie'])
      .optional()
      .meta({ description: 'The Debian release.', default: 'bookworm' }),
    snapshot: z
      .string()
      .regex(/^\d{8}T\d{6}Z$|^\d{4}-\d{2}-\d{2}$/, 'A snapshot is written 20260131T000000Z or 2026-01-31')
      .optional()
      .meta({ description: 'Takes the archive as it was at this time.' }),
    mirror: url.optional().meta({ description: 'The archive to fetch from.' }),
  })
  .meta({ description: 'Settings of the `debian` and `slim` bases.', ...OURS })

const interpreter = z
  .union([
    z.enum(['auto', 'base', 'debian']),
    z.strictObject({
      url: url.meta({ description: 'A relocatable CPython build (`.tar.gz` or `.tar.zst`).' }),
      sha256: sha256.meta({ description: 'The digest of that file.' }),
    }),
  ])
  .meta({ description: 'Which Python is used.', default: 'auto', ...OURS })

const aptKeyUrl = z
  .string()
  .regex(/^https?:\/\/[^\s@]+$/, 'An address starts with https:// or http:// and holds no credentials')
  .meta({ description: 'Where the key is.' })
const aptKeyDigest = sha256.meta({ description: 'The digest of that file.' })

const aptSource = z
  .strictObject({
    url: z
      .string()
      .regex(/^https?:\/\/[^\s@]+$/, 'An address starts with https:// or http:// and holds no credentials')
      .meta({ description: 'The archive, above `dists/`.' }),
    suite: name
      .regex(/^(?!.*(?:^|\/)\.\.?(?:\/|$))(?:\/|[^/].*)$/, 'A suite is a name, or ends with `/` for a flat archive')
      .meta({ description: 'Such as `bookworm` or `stable`; for a flat archive `/`, or its folder with a final `/`.' }),
    components: z.array(name).optional().meta({ description: 'Such as `main`; none for a flat archive.' }),
    key: z.union([nonEmpty, z.strictObject({ url: aptKeyUrl, sha256: aptKeyDigest })]).meta({
      description:
        'The OpenPGP key that signs the archive: a file in the project, the key itself (`-----BEGIN PGP ...`), or an address with its digest.',
    }),
  })
  .meta({ description: 'A package archive besides those of the distribution. Always signed.' })

const build = z
  .strictObject({
    gpu: z.boolean().optional().meta({ description: 'Whether the model uses NVIDIA GPUs.', default: false }),
    cuda: version(/^\d+\.\d+(\.\d+)?$/, 'A CUDA version has two or three parts, such as `12.8`')
      .optional()
      .meta({ description: 'The CUDA version, 11.0 or newer. Chosen to fit the frameworks when not given.' }),
    cudnn: version(/^\d+(\.\d+)*$/, 'A cuDNN version is written `9` or `9.1`')
      .optional()
      .meta({ description: 'The cuDNN version. Chosen to fit the frameworks when not given.' }),
    python_version: version(/^\d+\.\d+(\.\d+)?$/, 'A Python version has two or three parts, such as `3.12`')
      .optional()
      .meta({
        description: 'The Python version, with or without its patch number. Chosen to fit the packages when not given.',
      }),
    python_requirements: nonEmpty.optional().meta({
      description: 'A requirements file, `pyproject.toml`, `uv.lock` or `pylock.toml`, relative to the project.',
    }),
    python_packages: z.array(nonEmpty).optional().meta({
      description: 'Python packages as requirement lines.',
      deprecated: true,
      replacement: 'Put the lines into a file and name it in `python_requirements`.',
    }),
    system_packages: z.array(nonEmpty).optional().meta({ description: 'Debian or Ubuntu packages, by name.' }),
    run: z
      .array(runStep)
      .optional()
      .meta({ description: 'Shell commands that run after packages are installed, in order.' }),
    pre_install: z.array(nonEmpty).optional().meta({
      description: 'Shell commands; they run after those of `run`.',
      deprecated: true,
      replacement: 'Use `build.run`.',
    }),
    sdk_version: version(
      /^(prerelease|\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?)$/,
      'An SDK version is written `0.18.0`, `0.18.0a1` or `prerelease`',
    )
      .optional()
      .meta({
        description: 'The version of the `cog` package, 0.16.0 or newer. Has an effect with `runtime: coglet` only.',
      }),
    base: z
      .enum(['auto', 'cuda', 'slim', 'python-slim', 'debian'])
      .optional()
      .meta({
        description:
          'What the image stands on: an `nvidia/cuda` image (`cuda`), Debian with CUDA from wheels (`slim`), the official Python image (`python-slim`), or Debian made from its packages (`debian`). `auto` is `cuda` with a GPU and `debian` without.',
        default: 'auto',
        ...OURS,
      }),
    base_image: nonEmpty.optional().meta({
      description:
        'An image of your own to stand on: a registry reference, or `oci:FOLDER[:TAG]`, the folder relative to the project.',
      ...OURS,
    }),
    cuda_flavour: z
      .enum(['auto', 'base', 'runtime', 'cudnn-runtime', 'devel', 'cudnn-devel'])
      .optional()
      .meta({
        description:
          'Which of the `nvidia/cuda` images to take. `auto` is the smallest that the packages can live with.',
        default: 'auto',
        ...OURS,
      }),
    debian: debian.optional(),
    interpreter: interpreter.optional(),
    platforms: z
      .array(z.enum(['linux/amd64', 'linux/arm64']))
      .min(1, 'This list is empty')
      .optional()
      .meta({ description: 'The platforms to build for, into one index.', default: ['linux/amd64'], ...OURS }),
    targets: targets.optional(),
    python_index: pythonIndex.optional(),
    extras: z
      .array(name)
      .optional()
      .meta({ description: 'Extras of the project in `pyproject.toml` or the lock.', ...OURS }),
    groups: z
      .array(name)
      .optional()
      .meta({ description: 'Dependency groups of `pyproject.toml` or the lock.', ...OURS }),
    system_site_packages: z
      .boolean()
      .optional()
      .meta({
        description: 'Whether Python packages that the base image already has are used as long as they fit.',
        default: false,
        ...OURS,
      }),
    bytecode: z
      .boolean()
      .optional()
      .meta({
        description:
          'Whether the standard library and Python packages are compiled while building, so that a container starts sooner. Runs the interpreter of the image.',
        default: false,
        ...OURS,
      }),
    apt_sources: z
      .array(aptSource)
      .optional()
      .meta({ description: 'Further package archives.', ...OURS }),
    user: z
      .string()
      .regex(
        /^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/,
        'A user is written `name`, `uid` or `uid:gid`',
      )
      .optional()
      .meta({
        type: ['string', 'number'],
        description: 'The user that the model runs as. Root when not given.',
        ...OURS,
      }),
  })
  .meta({ description: 'How the image is made.' })

const weightSource = z
  .strictObject({
    uri: nonEmpty.meta({ description: '`hf://`, `https://` or `file://`, or a path.' }),
    include: z.array(nonEmpty).optional().meta({ description: 'Patterns of the files to take; all when not given.' }),
    exclude: z.array(nonEmpty).optional().meta({ description: 'Patterns of the files to leave out.' }),
  })
  .meta({ description: 'Where weights come from.' })

const weight = z.strictObject({
  name: z
    .string()
    .regex(
      /^[a-z0-9]+([._-][a-z0-9]+)*$/,
      'A weights name is made of lower-case letters and digits, joined by `.`, `_` or `-`',
    )
    .meta({ description: 'A name that no other entry has.' }),
  target: z
    .string()
    .regex(/^\/./, 'The target is an absolute path other than `/`')
    .meta({ description: 'Absolute path of the folder in the image.' }),
  source: z
    .union([weightSource, z.array(weightSource).min(1, 'This list is empty')])
    .meta({ description: 'One source, or a list of them.' }),
})

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

const traces = z
  .strictObject({
    enabled: z
      .boolean()
      .optional()
      .meta({ description: 'Whether the image traces, given a collector.', default: false }),
    sampler: z
      .enum(SAMPLERS)
      .optional()
      .meta({ description: 'Which requests are recorded.', default: 'parentbased_always_off' }),
    sampler_arg: version(/^(0(\.\d+)?|1(\.0+)?|\.\d+)$/, 'A share is written `0` to `1`')
      .optional()
      .meta({ description: 'The share that a sampler with `ratio` in its name takes.', default: '1' }),
    trace_header: z
      .string()
      .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'This is not the name of an HTTP header')
      .optional()
      .meta({ description: 'A header beside `traceparent` that names the parent.' }),
    trace_header_format: z
      .enum(['w3c', 'jaeger'])
      .optional()
      .meta({ description: 'The form of that header.', default: 'w3c' }),
  })
  .meta({ description: 'Spans of requests and predictions, for an OpenTelemetry collector.' })

const observability = z
  .strictObject({
    traces: traces.optional(),
    config: nonEmpty
      .regex(/\.py$/, 'This is not a Python file')
      .optional()
      .meta({ description: 'A file whose `create_tracer_provider()` makes the provider of the model’s own spans.' }),
  })
  .meta({ description: 'What is told of the running model.' })

/** What may stand in a cog.yaml. */
export const cogYamlSchema = z
  .strictObject({
    build: build.optional(),
    image: nonEmpty.optional().meta({
      description: 'The name of the image, with its registry if it is to be pushed.',
      default: 'cog-<folder>',
    }),
    model: nonEmpty
      .optional()
      .meta({ description: 'The repository of the image and its weights, without tag or digest.' }),
    run: pointer.optional().meta({
      description: 'The file and the class or function that answers predictions.',
      examples: ['run.py:Runner'],
    }),
    predict,
    models: models.optional(),
    pipelines: pipelines.optional(),
    train: pointer
      .optional()
      .meta({ description: 'The file and the function that trains.', examples: ['train.py:train'] }),
    concurrency: concurrency.optional().meta({
      deprecated: true,
      replacement: 'Put `@cog.concurrent(max=N)` on the function.',
    }),
    environment: z
      // The form is checked with the other rules of variables, so that one bad entry hides no other problem.
      .array(z.string().meta({ pattern: '^[A-Za-z_][A-Za-z0-9_]*=' }))
      .optional()
      .meta({ description: 'Environment variables as `NAME=value`; the value is taken byte for byte.' }),
    observability: observability.optional(),
    batch: z
      .strictObject({
        max_size: z
          .int('This is not a whole number')
          .min(1, 'A batch holds at least one')
          .meta({ description: 'How many requests one call takes at most.' }),
        max_wait_ms: z
          .number()
          .min(0, 'A time is not negative')
          .optional()
          .meta({ description: 'How long a request waits for others, in milliseconds.', default: 10 }),
      })
      .optional()
      .meta({ description: 'Gathers requests for a function that takes and gives lists.', ...OURS }),
    weights: z.array(weight).optional().meta({ description: 'Folders of weights that are layers of their own.' }),
    runtime: z
      .enum(['layerwright', 'coglet'])
      .optional()
      .meta({ description: 'The server in the image: this program’s own, or Cog’s.', default: 'layerwright', ...OURS }),
  })
  .meta({ title: 'cog.yaml', description: 'How to package a machine-learning model into an image.' })

/** A cog.yaml as written, proven to have the right shape. */
export type CogYaml = z.output<typeof cogYamlSchema>

/** Values whose digits matter: taken as written, so that `3.10` stays `3.10`. `*` stands for an index. */
export const VERBATIM_PATHS: ReadonlySet<string> = new Set([
  'build.cuda',
  'build.cudnn',
  'build.python_version',
  'build.sdk_version',
  'build.user',
  'build.targets.min_driver',
  'build.targets.architectures.*',
  'observability.traces.sampler_arg',
])

/** The JSON Schema (draft 7) of cog.yaml, for editors. */
export function cogYamlJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(cogYamlSchema, { target: 'draft-7', io: 'input' })
  return { ...schema, patternProperties: { '^x-': {} } }
}
