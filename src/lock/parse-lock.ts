import { descriptorSchema, digestSchema, imageConfigSchema } from 'oci-spec-types/schemas'
import { z } from 'zod'
import { pathProblem } from '../core/archive-path.ts'
import { BuildError } from '../core/errors.ts'
import type { Lock } from './lock.ts'

const remoteFile = z.looseObject({
  url: z.url(),
  sha256: z.string().regex(/^[a-f0-9]{64}$/),
  sizeBytes: z.number().int().nonnegative(),
})

const plainWheel = remoteFile.extend({
  name: z.string(),
  version: z.string(),
  filename: z.string(),
  requested: z.boolean(),
  dependencies: z.array(z.string()),
})

const subdirectory = z
  .string()
  .refine((path) => !path.startsWith('/') && !path.split('/').includes('..'))
  .optional()

/** What would be handed to git, or read from this machine, is looked at closely. */
const place = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('archive'), subdirectory }),
  z.object({
    kind: z.literal('repository'),
    url: z.string().regex(/^(?:https?|ssh|git|file):\/\/[^-]/),
    commit: z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/),
    subdirectory,
  }),
  z.object({ kind: z.literal('folder'), path: z.string(), subdirectory }),
])

/** What a build requires may be built in its turn. */
const wheel = plainWheel.extend({
  get source() {
    return z.object({ place, buildRequires: z.array(wheel), granted: z.array(z.string()).optional() }).optional()
  },
})
const folderMode = z.object({ mode: z.int(), uid: z.int(), gid: z.int() })

const debian = z.looseObject({
  suite: z.string(),
  architecture: z.enum(['amd64', 'arm64']),
  releases: z.array(z.looseObject({ archive: z.string(), suite: z.string(), sha256: z.string() })),
  packages: z.array(remoteFile.extend({ package: z.string(), version: z.string(), architecture: z.string() })),
  scriptsNotRun: z.array(
    z.object({ package: z.string(), script: z.enum(['preinst', 'postinst']), reason: z.string() }),
  ),
  base: z
    .object({
      files: z.base64(),
      links: z.record(z.string(), z.string()),
      keptFolders: z.record(z.string(), folderMode),
    })
    .optional(),
})

const platform = z.looseObject({
  platform: z.object({ os: z.literal('linux'), architecture: z.enum(['amd64', 'arm64']) }),
  base: z.discriminatedUnion('kind', [
    z.looseObject({
      kind: z.literal('image'),
      location: z.string(),
      manifest: descriptorSchema,
      config: imageConfigSchema,
      layers: z.array(descriptorSchema),
      operatingSystem: z.string(),
    }),
    z.looseObject({ kind: z.literal('debian'), suite: z.enum(['bookworm', 'trixie']), packages: debian }),
  ]),
  interpreter: z.looseObject({
    kind: z.enum(['base', 'debian', 'archive']),
    version: z.string(),
    executable: z.string().startsWith('/'),
    archive: remoteFile.extend({ prefix: z.string().startsWith('/') }).optional(),
  }),
  libc: z.object({ kind: z.enum(['glibc', 'musl']), major: z.number().int(), minor: z.number().int() }),
  wheels: z.array(wheel),
  launcher: z.array(wheel),
  systemPackages: debian.optional(),
  gpu: z
    .looseObject({ driverFloor: z.string().optional(), libraryFolders: z.array(z.string().startsWith('/')) })
    .optional(),
  choices: z.array(z.looseObject({ key: z.string(), value: z.string(), reason: z.string() })),
})

const lockSchema = z.looseObject({
  lockVersion: z.literal(1),
  inputs: digestSchema,
  platforms: z.array(platform).min(1),
  layers: z
    .object({
      records: z.record(
        digestSchema,
        z.object({
          mediaType: z.string(),
          digest: digestSchema,
          size: z.number().int().nonnegative(),
          diffId: digestSchema,
        }),
      ),
      clashFree: z.array(digestSchema),
      gpuCode: z.array(digestSchema).optional(),
      parts: z.record(
        z.string().regex(/^[a-f0-9]{64}$/),
        z.array(
          z.object({
            offset: z.number().int().nonnegative(),
            sizeBytes: z.number().int().nonnegative(),
            sha256: z.string().regex(/^[a-f0-9]{64}$/),
          }),
        ),
      ),
    })
    .optional(),
  weights: z
    .array(
      z.looseObject({
        name: z.string(),
        target: z.string().startsWith('/'),
        digest: digestSchema,
        sources: z.array(z.looseObject({ uri: z.string(), revision: z.string().optional() })),
        files: z.array(remoteFile.extend({ path: z.string().refine((path) => pathProblem(path) === undefined) })),
      }),
    )
    .optional(),
})

/**
 * Parses a lock file.
 *
 * @param what names the file in errors
 * @throws BuildError LOCK_STALE when it is damaged or of another version of the form
 */
export function parseLock(text: string, what: string): Lock {
  const refuse = (detail: string, cause?: unknown): BuildError =>
    new BuildError('LOCK_STALE', `The lock file cannot be used, ${detail}: \`${what}\``, {
      hint: 'Make it anew with `layerwright lock`; do not merge it by hand.',
      cause,
    })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw refuse('it is not JSON', error)
  }
  const parsed = lockSchema.safeParse(value)
  if (parsed.success) return parsed.data as unknown as Lock
  const [issue] = parsed.error.issues
  throw refuse(`${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim())
}
