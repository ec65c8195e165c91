import type { LayerContext } from '../../layers/context.ts'
import type { LayerSpec } from '../../layers/kinds/index.ts'
import type { Layer } from '../../layers/layer.ts'
import { loadLibraries } from '../../layers/notes.ts'
import { readTar } from '../../layers/tar.ts'
import { collect } from '../core/bytes.ts'
import type { Cache } from '../core/cache.ts'
import { groupBy } from '../core/group-by.ts'
import { parseLoaderCache } from '../debian/effects/loader-cache.ts'
import { cudaLibrary, flavourHas } from './cuda-libraries.ts'
import { findUnmetNeeds, type PlacedLibrary, type UnmetNeed } from '../python/libraries.ts'
import { decompressLayer } from '../run/unpack/decompress.ts'

/** A library that wheels need and nothing in the image has. */
export interface MissingLibrary {
  /** File name, such as `libGL.so.1`. */
  readonly needed: string
  /** One of the libraries that need it. */
  readonly by: string
  /** Debian package that has it, where that is known. */
  readonly systemPackage: string | undefined
}

/** What a project can be told about its libraries. */
export interface LibraryCheck {
  /** Specs and layers, one for one, lowest first. */
  readonly specs: readonly LayerSpec[]
  readonly layers: readonly Layer[]
  readonly context: Pick<LayerContext, 'compression' | 'mtimeSeconds'>
  readonly notes: Cache
  /** Folders of `LD_LIBRARY_PATH`, absolute. */
  readonly libraryPath: readonly string[]
  /** Flavour of the nvidia/cuda image below, when the base is one. */
  readonly flavour?: string | undefined
}

/** Packages of Debian and Ubuntu that bring what wheels leave to the system most often; python/launcher/hints.py has the same. */
export const LIBRARY_PACKAGES: Readonly<Record<string, string>> = {
  'libGL.so.1': 'libgl1',
  'libEGL.so.1': 'libegl1',
  'libGLESv2.so.2': 'libgles2',
  'libOSMesa.so.8': 'libosmesa6',
  'libglib-2.0.so.0': 'libglib2.0-0',
  'libgthread-2.0.so.0': 'libglib2.0-0',
  'libSM.so.6': 'libsm6',
  'libICE.so.6': 'libice6',
  'libXext.so.6': 'libxext6',
  'libXrender.so.1': 'libxrender1',
  'libX11.so.6': 'libx11-6',
  'libxcb.so.1': 'libxcb1',
  'libgomp.so.1': 'libgomp1',
  'libsndfile.so.1': 'libsndfile1',
  'libportaudio.so.2': 'libportaudio2',
  'libpq.so.5': 'libpq5',
  'libturbojpeg.so.0': 'libturbojpeg0',
  'libvulkan.so.1': 'libvulkan1',
  'libasound.so.2': 'libasound2',
  'libmagic.so.1': 'libmagic1',
  'libtcmalloc.so.4': 'libgoogle-perftools4',
}

/**
 * Plugins for hardware and launchers of clusters: CUDA's libraries look for them with `dlopen` and do without. The wheels of
 * every torch have some, so that telling what they lack would teach people to read no warnings.
 */
const PLUGIN = /\/(?:libcufile_rdma|nvshmem_(?:bootstrap|transport)_\w+)\.so[\d.]*$/

const CACHE_LIMIT_BYTES = 64 << 20

/**
 * Finds libraries that wheels need and that neither wheels nor the system's packages bring.
 *
 * What the system has is read from the loader's cache that was computed for it. Where none was, on an existing image
 * without system packages of ours, the libraries of CUDA are told by the flavour of the image, and of others nothing.
 */
export async function findMissingLibraries(check: LibraryCheck): Promise<readonly MissingLibrary[]> {
  const { specs, layers, context, notes, libraryPath } = check
  const registration = specs.findLastIndex(({ kind }) => kind === 'debian-registration')
  const layer = layers[registration]
  if (layer === undefined && check.flavour === undefined) return []
  const libraries: PlacedLibrary[] = []
  for (const spec of specs) {
    if (spec.kind !== 'wheels') continue
    const found = await loadLibraries(spec, context, notes)
    if (found === undefined) return []
    libraries.push(...found.filter(({ path }) => !PLUGIN.test(path)))
  }
  if (libraries.length === 0) return []
  const systemNames = layer === undefined ? new Set<string>() : await readSystemNames(layer)
  const unmet = findUnmetNeeds({ libraries, systemNames, libraryPath }).filter(({ folders }) => folders.length === 0)
  return summarise(layer === undefined ? unmet.filter(({ needed }) => isMissingIn(check.flavour ?? '', needed)) : unmet)
}

function isMissingIn(flavour: string, needed: string): boolean {
  const library = cudaLibrary(needed)
  return library !== undefined && !flavourHas(flavour, library)
}

/** Missing libraries as sentences with what to do: one for all that system packages bring, one for each of the others. */
export function describeMissingLibraries(missing: readonly MissingLibrary[]): readonly string[] {
  const packaged = missing.filter(({ systemPackage }) => systemPackage !== undefined)
  const others = missing.filter(({ systemPackage }) => systemPackage === undefined)
  const packages = [...new Set(packaged.map(({ systemPackage }) => `\`${systemPackage}\``))].sort()
  const remedy = `; add ${packages.join(', ')} to build.system_packages`
  return [
    ...(packaged.length === 0 ? [] : [sentence(packaged, remedy)]),
    ...others.map((library) => sentence([library], remedyFor(library))),
  ]
}

function sentence(missing: readonly MissingLibrary[], remedy: string): string {
  const [first = '', ...more] = [...new Set(missing.map(({ by }) => by.replace(/^.*\/site-packages\//, '')))]
  const needed = missing.map((library) => library.needed).sort()
  const names = needed.length === 1 ? needed.join('') : `${needed.slice(0, -1).join(', ')} and ${needed.at(-1)}`
  const who =
    more.length === 0 ? `\`${first}\` needs` : `\`${first}\` and ${more.length} more of the wheels’ files need`
  return `${who} ${names}, which nothing in the image has${remedy}`
}

function remedyFor({ needed }: MissingLibrary): string {
  const library = cudaLibrary(needed)
  if (library === undefined) return ''
  const { wheel, flavour } = library
  const base = flavour === undefined ? '' : `, or state \`build.cuda_flavour: ${flavour}\``
  return `; require the wheel \`${wheel}\` (\`${wheel}-cu12\` for CUDA 12)${base}`
}

function summarise(unmet: readonly UnmetNeed[]): readonly MissingLibrary[] {
  return [...groupBy(unmet, ({ needed }) => needed)].map(([needed, needs]) => ({
    needed,
    by: needs[0]?.path ?? '',
    systemPackage: LIBRARY_PACKAGES[needed],
  }))
}

async function readSystemNames(layer: Layer): Promise<ReadonlySet<string>> {
  for await (const member of readTar(decompressLayer(layer.descriptor.mediaType, layer.open()), layer.createdBy)) {
    if (member.name !== 'etc/ld.so.cache') continue
    const bytes = await collect(member.data, CACHE_LIMIT_BYTES)
    return new Set(parseLoaderCache(bytes).map(({ soname }) => soname))
  }
  return new Set()
}
