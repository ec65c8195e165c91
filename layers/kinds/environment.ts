import { posix } from 'node:path'
import { addToRecord } from '../../src/python/record.ts'
import { openWheel } from '../../src/python/wheel.ts'
import { openOnce, type LayerContext } from '../context.ts'
import { layerOfEntries } from '../files.ts'
import { activateScript, pyvenvConfig } from '../virtual-environment.ts'
import { recordOf, sitePackages, wheelFiles, writtenRow, type InstallScheme, type WrittenFile } from '../wheel-files.ts'
import { inlineEntry, type InlineFile } from './inline.ts'
import type { LayerKind } from './kind.ts'
import type { WheelFile } from './wheels.ts'

/** A wheel that the project itself asked for. */
export interface RequestedWheel extends WheelFile {
  /** Where it came from when no index gave it. @see PEP 610 */
  readonly directUrl?: Readonly<Record<string, unknown>> | undefined
}

/** The virtual environment itself: what depends on the project or the interpreter, and so lies in no wheel's layer. */
export interface EnvironmentLayerSpec extends InstallScheme {
  readonly kind: 'environment'
  /** Absolute path of the interpreter in the image, such as `/usr/bin/python3.11`. */
  readonly interpreter: string
  /** Full version of the interpreter, such as `3.11.2`. */
  readonly pythonVersion: string
  /** The environment sees the interpreter's own packages, too. */
  readonly systemSitePackages?: true
  readonly requested: readonly RequestedWheel[]
}

/** Writes a virtual environment without running Python. */
export const environmentKind: LayerKind<EnvironmentLayerSpec> = {
  kind: 'environment',
  make: async (spec, context) => {
    const files = [...environmentFiles(spec)]
    for (const wheel of spec.requested) files.push(...(await requestedFiles(wheel, spec, context)))
    return layerOfEntries(files.map(inlineEntry), { compression: context.compression })
  },
}

function environmentFiles(spec: EnvironmentLayerSpec): readonly InlineFile[] {
  const { prefix, python } = spec
  return [
    { path: `${prefix}/pyvenv.cfg`, text: pyvenvConfig(spec) },
    { path: `${prefix}/bin/python`, link: spec.interpreter },
    { path: `${prefix}/bin/python3`, link: 'python' },
    { path: `${prefix}/bin/python${python}`, link: 'python' },
    { path: `${prefix}/bin/activate`, text: activateScript(prefix) },
    // As `python -m venv` makes it on 64-bit systems, for tools that look there.
    { path: `${prefix}/lib64`, link: 'lib' },
    { path: sitePackages(spec), directory: true },
  ]
}

async function requestedFiles(
  file: RequestedWheel,
  scheme: InstallScheme,
  context: LayerContext,
): Promise<readonly InlineFile[]> {
  const record = context.installedRecords?.find(file, scheme) ?? (await readRecord(file, scheme, context))
  const folder = posix.dirname(record.path)
  const added: WrittenFile[] = [{ path: `${folder}/REQUESTED`, mode: 0o644, bytes: Buffer.alloc(0) }]
  if (file.directUrl !== undefined) {
    const bytes = Buffer.from(JSON.stringify(file.directUrl))
    added.push({ path: `${folder}/direct_url.json`, mode: 0o644, bytes })
  }
  // RECORD lists every file of a distribution, so the one of the wheel's own layer is replaced by one with these.
  const rows = added.map((it) => writtenRow(it, scheme))
  const bytes = Buffer.from(addToRecord(record.bytes.toString('utf8'), rows))
  return [...added, { ...record, bytes }].map(({ path, mode, bytes }) => ({
    path,
    mode,
    base64: bytes.toString('base64'),
  }))
}

/** RECORD as the wheel's own layer has it. */
async function readRecord(file: WheelFile, scheme: InstallScheme, context: LayerContext): Promise<WrittenFile> {
  const source = await openOnce(file, context)
  try {
    const wheel = await openWheel(source, file.filename)
    const { written } = await wheelFiles(source, wheel, scheme)
    // Nothing streams this file here: its own layer has done so before, or it was known already. Where all that comes of it is
    // compared with a digest, that proves it.
    if (context.isKnown !== true) await source.prove?.()
    return recordOf(written)
  } finally {
    await source.close()
  }
}
