import { Registries } from '../../registry/registries.ts'
import {
  convertContent,
  copyContent,
  openDestination,
  openSource,
  parsePlatform,
  readContent,
  resolvePath,
  type CopyResult,
  type Location,
} from '../destinations/index.ts'
import type { ImageFormat } from '../image/make-image.ts'
import type { Io } from './command.ts'
import { findLocation, openWorld } from './world.ts'

/** Which part of a source is copied, and how it is written. */
export interface CopyRequest {
  readonly all?: boolean | undefined
  readonly platform?: string | undefined
  readonly format?: ImageFormat | undefined
}

/** What moves images for a command: no store is opened unless a local image is named. */
export interface CopyWorld {
  copy(source: string, destination: string, request: CopyRequest): Promise<CopyResult>
}

/** Opens the registries for one command. */
export function openCopyWorld(io: Io, insecure: boolean): CopyWorld {
  const { env, report, signal, cwd } = io
  const registries = new Registries({ env, report, signal, insecure })
  const context = { registries, report, signal }
  return {
    async copy(from, to, { all, platform, format }) {
      const source = await openSource(await locate(from, io), context)
      const destination = await openDestination(resolvePath(to, cwd), context)
      const wanted = platform === undefined ? undefined : parsePlatform(platform)
      const content = await readContent(source, { all: all === true, platform: wanted })
      const converted = format === undefined ? content : convertContent(content, format)
      return copyContent(converted, destination, { report, signal })
    },
  }
}

/** A location as it is; a bare name may be an image of the local store. */
async function locate(name: string, io: Io): Promise<string | Location> {
  if (/^(oci|oci-archive|docker-archive|docker):/.test(name)) return resolvePath(name, io.cwd)
  return findLocation(name, await openWorld(io), io)
}
