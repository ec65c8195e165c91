import { LAYOUT } from './runtime-config.ts'
import type { PlannedStep } from './plan.ts'

/**
 * Compiles the standard library and the environment's packages in the sandbox, by the image's own interpreter.
 *
 * The files are a function of the sources: unchecked hashes instead of times (PEP 552), one process, a fixed seed for sets. A
 * source that does not compile, as templates and old tests do not, is left as it is.
 *
 * @see docs/decisions/0009-bytecode.md
 */
export function bytecodeStep(): PlannedStep {
  const program = [
    'import compileall, py_compile, re, sysconfig',
    'mode = py_compile.PycInvalidationMode.UNCHECKED_HASH',
    'skip = re.compile(r"/(?:test|idlelib|lib2to3|turtledemo)/")',
    'paths = sysconfig.get_paths()',
    'compileall.compile_dir(paths["stdlib"], quiet=2, workers=1, invalidation_mode=mode, rx=skip)',
    'compileall.compile_dir(paths["purelib"], quiet=2, workers=1, invalidation_mode=mode)',
  ].join('; ')
  return {
    role: 'bytecode',
    title: 'bytecode of the standard library and the packages',
    command: `PYTHONHASHSEED=0 ${LAYOUT.environment}/bin/python -s -c '${program}'`,
    mounts: [],
  }
}
