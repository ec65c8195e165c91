import { BuildError } from '../../core/errors.ts'

const SHOWN_LINES = 20
const MAX_LINE = 240

/** What the last words of a build mean, and what to do; the first that fits. */
const SIGNS: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [
    /(?:command '?(?:[\w-]*-)?(gcc|cc|clang|g\+\+|c\+\+)'? failed: No such file|No such file or directory: '(?:[\w-]*-)?(gcc|cc|clang|g\+\+|c\+\+)'|error: (?:Microsoft|unable to find a) C|\b(gcc|cc|clang|g\+\+|c\+\+): (?:command )?not found|No C compiler|Unknown compiler)/,
    () => 'It needs a C compiler: add `build-essential` to build.system_packages (or choose a `devel` base).',
  ],
  [
    /fatal error: Python\.h: No such file/,
    () => "It needs Python's headers: add `python3-dev` to build.system_packages.",
  ],
  [
    /fatal error: (cuda[\w./]*\.h|cublas[\w./]*\.h|nv[\w./]*\.h): No such file|nvcc(?:' failed)?: (?:command )?not found|CUDA_HOME environment variable is not set/,
    () => 'It needs the CUDA toolkit: set build.cuda_flavour to `devel`.',
  ],
  [
    /fatal error: ([\w./+-]+\.h(?:pp)?): No such file/,
    (match) => `It needs the header \`${match[1]}\`: add the \`-dev\` package that has it to build.system_packages.`,
  ],
  [
    /pkg-config[^\n]*not found|Did not find pkg-config|pkg-config is required/i,
    () => 'Add `pkg-config` to build.system_packages.',
  ],
  [
    /Package ([\w.+-]+) was not found in the pkg-config search path/,
    (match) => `It needs the library \`${match[1]}\`: add its \`-dev\` package to build.system_packages.`,
  ],
  [
    /\b(cargo|rustc|cmake|ninja|make|git|swig|gfortran|patchelf|autoconf|bison|flex)['"`]?(?:: (?:command )?not found| is not installed| could not be found)|No such file or directory: '(cargo|rustc|cmake|ninja|make|git|swig|gfortran|patchelf|autoconf|bison|flex)'|can't find Rust compiler/i,
    (match) => `It needs \`${match[1] ?? match[2] ?? 'rustc'}\`: add it to build.system_packages.`,
  ],
  [
    /unable to detect version for|Versioning for this project requires either an sdist tarball/,
    () => "Its version comes from git's tags, which `git` reads: add `git` to build.system_packages.",
  ],
  [
    /ModuleNotFoundError: No module named 'pkg_resources'/,
    () =>
      'It uses `pkg_resources`, which setuptools 82 and newer no longer have: set PIP_BUILD_CONSTRAINT to the path of a file that says `setuptools<82`.',
  ],
  [
    /ModuleNotFoundError: No module named '([\w.]+)'/,
    (match) =>
      `Its build uses \`${match[1]}\` without requiring it; nothing of the project's environment is visible to a build. Choose another version, or a wheel.`,
  ],
  [
    /Temporary failure in name resolution|Could not resolve host|Network is unreachable/,
    () => 'It reaches for the network, which this build does not have (`--network`).',
  ],
]

/** Says which package failed to build, with the end of its output and what seems to be missing. */
export function explainFailure(title: string, error: BuildError): BuildError {
  const output = typeof error.data?.['output'] === 'string' ? error.data['output'] : ''
  const lines = output.trimEnd().split('\n').slice(-SHOWN_LINES)
  const shown = lines.map((line) => `  ${line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)} ...` : line}`)
  const words = output === '' ? error.message : shown.join('\n')
  return new BuildError('RUN_FAILED', `\`${title}\` could not be built from its source:\n${words}`, {
    hint: explainOutput(output) ?? 'Choose a version that has a wheel, or build one elsewhere and name its file.',
    data: { ...error.data, package: title },
    cause: error,
  })
}

/** What a build's output says is missing. */
export function explainOutput(output: string): string | undefined {
  for (const [sign, say] of SIGNS) {
    const match = sign.exec(output)
    if (match !== null) return say(match)
  }
  return undefined
}
