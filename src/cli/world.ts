import { Registries } from '../../registry/registries.ts'
import type { BuildContext } from '../build.ts'
import { lockedBaseLayers, openBase } from '../build/locked-base.ts'
import {
  openDestination,
  openSource,
  readImageOrIndex,
  type Destination,
  type Location,
  type Source,
} from '../destinations/index.ts'
import { resolvePath } from '../destinations/location.ts'
import { readLayoutIndex, tagOf } from '../destinations/oci-layout.ts'
import type { Image, ImageIndex } from '../image/image.ts'
import { BuildError } from '../core/errors.ts'
import { Store } from '../store/store.ts'
import { storeLocation } from '../store/location.ts'
import { makeHttp, tellsOfLimits } from '../core/http.ts'
import { TrustedHosts } from '../core/net/trusted-hosts.ts'
import type { Io } from './command.ts'
import { localImage } from './locations.ts'
import { explainMissing } from './missing-image.ts'

/** What commands work with: the local store, the network, and the images that both hold. */
export interface World {
  readonly store: Store
  readonly registries: Registries
  readonly context: BuildContext
  open(location: string | Location): Promise<Destination>
}

/** How registries are met. */
export interface WorldOptions {
  /** Plain HTTP and untrusted certificates are fine. */
  readonly insecure?: boolean | undefined
  /** The local store, when it is open already. */
  readonly store?: Store | undefined
}

/** Opens the world for one command. */
export async function openWorld(io: Io, options: WorldOptions = {}): Promise<World> {
  const { env, report, signal } = io
  const { insecure } = options
  const store = options.store ?? (await Store.open(await storeLocation({ env })))
  const trusted = new TrustedHosts()
  const http = makeHttp({ env, tls: (host) => trusted.settingsFor(host), onLimited: tellsOfLimits(report) })
  const registries = new Registries({ env, report, signal, insecure })
  return {
    store,
    registries,
    context: {
      store,
      http,
      env,
      report,
      signal,
      now: Date.now,
      trustHosts: (hosts) => trusted.add(hosts),
      openBase: (location, platform) => openBase(location, platform, { registries, report, signal }),
      baseLayers: (base) => lockedBaseLayers(base, { registries, report, signal }),
    },
    open: (location) => openDestination(location, { registries, contents: store.cache('contents'), report, signal }),
  }
}

/**
 * Finds an image by what a user wrote: a location, the name of a local image, a reference to a registry; or, without a
 * name, the image of the project in the current folder.
 *
 * @throws BuildError IMAGE_NOT_FOUND when the project was not built yet
 */
export async function findImage(name: string | undefined, world: World, io: Io): Promise<Image | ImageIndex> {
  const source = await findSource(name, world, io)
  return explaining(name, world, () => readImageOrIndex(source))
}

/** The place that {@link findImage} reads from. */
export async function findSource(name: string | undefined, world: World, io: Io): Promise<Source> {
  const { report, signal } = io
  return openSource(await findLocation(name, world, io), { registries: world.registries, report, signal })
}

/** Runs what reads an image; where it fails for a name that was probably meant to be local, the error says so. */
export async function explaining<T>(name: string | undefined, world: World, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (name === undefined || HAS_SCHEME.test(name)) throw error
    throw explainMissing(name, await localNames(world.store), error)
  }
}

const HAS_SCHEME = /^(oci|oci-archive|docker-archive|docker):/

/** Where the image lies that {@link findImage} finds. */
export async function findLocation(name: string | undefined, world: World, io: Io): Promise<string | Location> {
  if (name === undefined) {
    const own = await projectImageName(io.cwd)
    if (await hasLocalImage(world.store, own)) return localImage(world.store, own)
    throw new BuildError('IMAGE_NOT_FOUND', `The project was not built yet: there is no local image \`${own}\``, {
      hint: 'Run `layerwright build` first, or name an image.',
    })
  }
  if (HAS_SCHEME.test(name)) return resolvePath(name, io.cwd)
  return (await hasLocalImage(world.store, name)) ? localImage(world.store, name) : name
}

/** The name under which a project's image lies in the local store. */
export async function projectImageName(folder: string): Promise<string> {
  const [{ loadConfig }, { defaultImageName }] = await Promise.all([
    import('../config/load.ts'),
    import('../config/image-name.ts'),
  ])
  const { config, projectFolder } = await loadConfig(folder)
  return config.image ?? defaultImageName(projectFolder)
}

async function hasLocalImage(store: Store, name: string): Promise<boolean> {
  return (await localNames(store)).includes(name)
}

async function localNames(store: Store): Promise<readonly string[]> {
  return (await readLayoutIndex(store.folder)).flatMap((entry) => tagOf(entry) ?? [])
}
