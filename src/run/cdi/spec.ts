import { z } from 'zod'
import { BuildError } from '../../core/errors.ts'

/** Versions of the CDI specification that are understood here, oldest first. */
export const CDI_VERSIONS = ['0.3.0', '0.4.0', '0.5.0', '0.6.0', '0.7.0', '0.8.0', '1.0.0', '1.1.0'] as const

/** Hooks that an OCI runtime knows. */
const HOOK_NAMES = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const

const path = z.string().min(1)
const absolute = z.string().regex(/^\//, 'Expected an absolute path')
const variable = z.string().regex(/^[^=]+=/, 'Expected NAME=value')
const id = z
  .int()
  .min(0)
  .max(2 ** 32 - 2)

const deviceNodeSchema = z.strictObject({
  path,
  hostPath: z.string().optional(),
  type: z.enum(['', 'b', 'c', 'u', 'p']).optional(),
  major: z.int().min(0).optional(),
  minor: z.int().min(0).optional(),
  fileMode: z.int().min(0).optional(),
  permissions: z.union([z.literal('none'), z.string().regex(/^[rwm]*$/)]).optional(),
  uid: id.optional(),
  gid: id.optional(),
})

const editsSchema = z.strictObject({
  env: z.array(variable).optional(),
  deviceNodes: z.array(deviceNodeSchema).optional(),
  netDevices: z.array(z.strictObject({ hostInterfaceName: z.string().min(1), name: z.string().min(1) })).optional(),
  hooks: z
    .array(
      z.strictObject({
        hookName: z.enum(HOOK_NAMES),
        path: absolute,
        args: z.array(z.string()).optional(),
        env: z.array(variable).optional(),
        timeout: z.int().min(1).optional(),
      }),
    )
    .optional(),
  mounts: z
    .array(
      z.strictObject({
        hostPath: path,
        containerPath: absolute,
        options: z.array(z.string()).optional(),
        type: z.string().optional(),
      }),
    )
    .optional(),
  intelRdt: z.looseObject({}).optional(),
  additionalGids: z.array(id).optional(),
})

const annotations = z.record(z.string(), z.string()).optional()

const specSchema = z.strictObject({
  cdiVersion: z.string(),
  kind: z.string(),
  annotations,
  devices: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$/, 'Not a device name'),
        annotations,
        containerEdits: editsSchema,
      }),
    )
    .min(1),
  containerEdits: editsSchema.optional(),
})

/** A CDI specification: devices of one kind and what each adds to a container. */
export type CdiSpec = z.infer<typeof specSchema>
/** What a device adds to a container. */
export type CdiEdits = z.infer<typeof editsSchema>

/**
 * Checks a CDI specification as its own library does: a field that is unknown, or newer than the stated version, is an
 * error, so that nothing a device needs is left out silently.
 *
 * @param file named in errors
 * @throws BuildError HOST_UNSUPPORTED
 * @see CNCF Container Device Interface, SPEC.md 1.1.0
 */
export function parseCdiSpec(value: unknown, file: string): CdiSpec {
  const version = typeof value === 'object' && value !== null && 'cdiVersion' in value ? String(value.cdiVersion) : ''
  const known = CDI_VERSIONS.findIndex((candidate) => candidate === version)
  if (known < 0) {
    throw new BuildError(
      'HOST_UNSUPPORTED',
      `The CDI specification ${file} has a version unknown here: \`${version}\``,
      {
        hint: `Known are ${CDI_VERSIONS[0]} to ${CDI_VERSIONS.at(-1)}. For NVIDIA, \`nvidia-ctk cdi generate\` writes 0.5.0.`,
        data: { file, version },
      },
    )
  }
  const parsed = specSchema.safeParse(value)
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw new BuildError('HOST_UNSUPPORTED', `The CDI specification ${file} is invalid: ${problems.join('; ')}`, {
      data: { file, problems },
    })
  }
  const spec = parsed.data
  if (!/^[A-Za-z][\w.-]*[A-Za-z0-9]\/[A-Za-z]([\w.-]*[A-Za-z0-9])?$/.test(spec.kind)) {
    throw new BuildError('HOST_UNSUPPORTED', `The CDI specification ${file} has a malformed kind: \`${spec.kind}\``)
  }
  const needed = neededVersion(spec)
  if (CDI_VERSIONS.indexOf(needed.version) > known) {
    throw new BuildError(
      'HOST_UNSUPPORTED',
      `The CDI specification ${file} states version ${version} but uses ${needed.why}, which came with ${needed.version}`,
    )
  }
  return spec
}

/** The oldest version that has all that a specification uses. */
function neededVersion(spec: CdiSpec): { readonly version: (typeof CDI_VERSIONS)[number]; readonly why: string } {
  const edits = [spec.containerEdits ?? {}, ...spec.devices.map((device) => device.containerEdits)]
  if (edits.some((edit) => edit.netDevices !== undefined)) return { version: '1.1.0', why: 'netDevices' }
  if (edits.some((edit) => edit.intelRdt !== undefined)) return { version: '0.7.0', why: 'intelRdt' }
  if (edits.some((edit) => (edit.additionalGids ?? []).length > 0)) return { version: '0.7.0', why: 'additionalGids' }
  const noted = [spec, ...spec.devices].some((part) => Object.keys(part.annotations ?? {}).length > 0)
  if (noted) return { version: '0.6.0', why: 'annotations' }
  if (spec.kind.split('/')[1]?.includes('.')) return { version: '0.6.0', why: 'a dot in the class' }
  if (spec.devices.some((device) => !/^[A-Za-z]/.test(device.name)))
    return { version: '0.5.0', why: 'a name that starts with a digit' }
  if (edits.some((edit) => edit.deviceNodes?.some((node) => node.hostPath)))
    return { version: '0.5.0', why: 'hostPath of a node' }
  if (edits.some((edit) => edit.mounts?.some((mount) => mount.type)))
    return { version: '0.4.0', why: 'the type of a mount' }
  return { version: '0.3.0', why: '' }
}
