import { pathToFileURL } from 'node:url'
import type { Lock, PlatformLock } from './lock.ts'

/*
 * A lock file is made in one folder and used in others: in another clone, on a runner. What lies in the project is
 * written from there, as `project:wheels/x.whl`, like weights of the project.
 */

const HERE = 'project:'

/** A lock as it is kept: addresses of the project's own files start from the project. */
export function toPortable(lock: Lock, folder: string): Lock {
  const base = pathToFileURL(folder).href
  return mapPackages(lock, (text) => {
    if (text === base) return HERE
    return text.startsWith(`${base}/`) ? `${HERE}${text.slice(base.length + 1)}` : text
  })
}

/** A lock as it is used here. Weights stay as they are written: who reads them knows the project. */
export function fromPortable(lock: Lock, folder: string): Lock {
  const base = pathToFileURL(folder).href
  return mapPackages(lock, (text) => {
    if (text === HERE) return base
    return text.startsWith(HERE) ? `${base}/${text.slice(HERE.length)}` : text
  })
}

/** Reads a lock as it is kept. */
export function parsePortable(text: string, folder: string): Lock {
  const lock = JSON.parse(text) as Lock
  return text.includes(`"${HERE}`) ? fromPortable(lock, folder) : lock
}

/** Any plain JSON with the project's place left out of it, by path and by address; for keys. */
export function withoutPlace(value: unknown, folder: string): unknown {
  const base = pathToFileURL(folder).href
  return mapTexts(value, (text) => {
    if (text === folder || text === base) return HERE
    // A requirement has its address in its middle: `thing @ file:///project/thing.whl`.
    return text.startsWith(`${folder}/`) ? `${HERE}${text.slice(folder.length + 1)}` : text.replaceAll(`${base}/`, HERE)
  })
}

function mapPackages(lock: Lock, change: (text: string) => string): Lock {
  const platforms = lock.platforms.map((platform): PlatformLock => ({
    ...platform,
    wheels: mapTexts(platform.wheels, change) as PlatformLock['wheels'],
    launcher: mapTexts(platform.launcher, change) as PlatformLock['launcher'],
  }))
  return { ...lock, platforms }
}

function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map((member) => mapTexts(member, change))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, mapTexts(member, change)]))
}
