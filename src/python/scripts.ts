import type { EntryPoint } from './entry-points.ts'

/** Linux reads this much of a first line, older kernels at least. */
const MAX_SHEBANG_BYTES = 127

/**
 * The first line of a script, with its line end.
 *
 * A path too long for the kernel, or with white space, goes through `/bin/sh`, in a form that Python reads as a string.
 *
 * @param interpreter absolute path inside the image
 */
export function formatShebang(interpreter: string): string {
  const plain = `#!${interpreter}\n`
  if (Buffer.byteLength(plain) <= MAX_SHEBANG_BYTES && !/\s/.test(interpreter)) return plain
  return `#!/bin/sh\n'''exec' "${interpreter}" "$0" "$@"\n' '''\n`
}

/** The script of an entry point. */
export function formatScript(entry: EntryPoint, interpreter: string): string {
  const imported = entry.attribute.split('.')[0] ?? entry.attribute
  return `${formatShebang(interpreter)}# -*- coding: utf-8 -*-
import sys
from ${entry.module} import ${imported}
if __name__ == '__main__':
    sys.exit(${entry.attribute}())
`
}

/** How much of a script's start {@link isPythonScript} needs. */
export const SCRIPT_PROBE_BYTES = 8

/** Whether a script of a wheel starts with the placeholder that an installer replaces. @see PEP 427, "Recommended installer features" */
export function isPythonScript(start: Uint8Array): boolean {
  return Buffer.from(start.subarray(0, SCRIPT_PROBE_BYTES)).toString('latin1') === '#!python'
}

/** Replaces the first line of a script that {@link isPythonScript}. */
export function rewriteScript(content: Uint8Array, interpreter: string): Buffer {
  const end = content.indexOf(0x0a)
  const body = end < 0 ? new Uint8Array() : content.subarray(end + 1)
  return Buffer.concat([Buffer.from(formatShebang(interpreter)), body])
}

/** Whether a script of this name would replace the interpreter or what starts the environment. */
export function isReservedScript(name: string): boolean {
  return /^(?:python|pypy|graalpy)w?[0-9.]*t?(?:-config)?$/.test(name) || RESERVED.has(name)
}

const RESERVED = new Set(['activate', 'activate.csh', 'activate.fish', 'activate.ps1', 'Activate.ps1'])
