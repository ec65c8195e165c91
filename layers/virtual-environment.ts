import { posix } from 'node:path'

/** What a virtual environment says of its interpreter. */
export interface Interpreter {
  /** Absolute path in the image. */
  readonly interpreter: string
  /** Full version. */
  readonly pythonVersion: string
  /** Sees the interpreter's own packages, too. */
  readonly systemSitePackages?: true
}

/** The `pyvenv.cfg` by which an interpreter knows that it runs in an environment. @see PEP 405 */
export function pyvenvConfig({ interpreter, pythonVersion, systemSitePackages }: Interpreter): string {
  return `home = ${posix.dirname(interpreter)}
include-system-site-packages = ${systemSitePackages === true}
version = ${pythonVersion}
executable = ${interpreter}
`
}

/**
 * A shell script that puts an environment first, for people in a shell.
 *
 * @param prefix without a leading slash
 */
export function activateScript(prefix: string): string {
  return `# Source this file: . /${prefix}/bin/activate
deactivate () {
    PATH="$_OLD_VIRTUAL_PATH"
    export PATH
    if [ -n "\${_OLD_VIRTUAL_PYTHONHOME:-}" ]; then
        PYTHONHOME="$_OLD_VIRTUAL_PYTHONHOME"
        export PYTHONHOME
    fi
    unset VIRTUAL_ENV _OLD_VIRTUAL_PATH _OLD_VIRTUAL_PYTHONHOME
    unset -f deactivate
    hash -r 2>/dev/null
}
VIRTUAL_ENV="/${prefix}"
export VIRTUAL_ENV
_OLD_VIRTUAL_PATH="$PATH"
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
if [ -n "\${PYTHONHOME:-}" ]; then
    _OLD_VIRTUAL_PYTHONHOME="$PYTHONHOME"
    unset PYTHONHOME
fi
hash -r 2>/dev/null
`
}
