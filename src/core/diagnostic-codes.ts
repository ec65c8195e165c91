/**
 * Every code of a diagnostic, with what it means and what to do. The list is closed and stable: scripts may match on it.
 *
 * The page `docs/reference/diagnostics.md` is made from it.
 */
const DIAGNOSTIC_CODES = {
  // cog.yaml as YAML
  'yaml-syntax':
    'The file is not YAML. YAML is indented with spaces; values that hold `: ` or start with a special character stand in quotes.',
  'yaml-tag':
    'A tag such as `!env` or `!!binary` stands before a value. Tags mean nothing in a cog.yaml; write the plain value.',
  'yaml-alias': 'An alias (`*name`) has no anchor (`&name`) above it, or lies within its own anchor.',
  'yaml-merge': 'A merge key (`<<`) stands before something that is not a mapping or a list of mappings.',
  'yaml-key': 'A key is a list or a mapping. Keys are plain text.',
  'yaml-size': 'The file is larger, or nested deeper, than any cog.yaml can be once its aliases are expanded.',
  'duplicate-key': 'A key stands twice in one mapping. YAML forbids it, and which one would count is a guess.',
  // cog.yaml as configuration
  'unknown-key':
    'Nobody knows this key. Cog ignores such keys, so that a misspelt one has no effect; here it is an error that names the nearest key.',
  'missing-key': 'A mapping lacks a key that it must have.',
  'wrong-type': 'A value is of another type than the key takes, such as text where a list is expected.',
  'invalid-value': 'A value has the right type and the wrong form, or is none of those that the key takes.',
  'unsupported-version': 'A version is older than anything that can be built.',
  'invalid-reference': 'A name of an image or repository does not follow the grammar of image references.',
  'exclusive-keys': 'Two keys contradict each other. Keep one of them.',
  'deprecated-key': 'The key still works and will not for ever; the message names what takes its place.',
  'no-effect': 'The key is right, but with the other settings it changes nothing.',
  'not-supported': 'The key is known and cannot be built by this version. It is refused, never ignored.',
  'reserved-variable': 'The variable is set by the image itself or by the platform, so that a project cannot set it.',
  'duplicate-variable': 'An environment variable is given twice.',
  'duplicate-weights': 'Two entries of `weights` have one name, or folders that lie in each other.',
  'package-name': 'A package is named as it is imported; another one of that name would be installed.',
  'file-missing': 'A file that is named is not there. The nearest name in its folder is suggested.',
  'file-outside': 'A file that is named lies outside the project folder, so it would not be in the image.',
  'secret-in-file':
    'An address holds a user and a password. The file lies in the image unless `.dockerignore` leaves it out; messages, labels and history show `***`.',
  'unknown-model': 'A step of a pipeline names a model that `models` does not have.',
  'unknown-step':
    'A reference names something that is not there: a step that does not run before, or an item where there is no `each`.',
  'duplicate-step': 'Two steps of a pipeline have one name, or a step is named `input` or `item`.',
  'no-default':
    'Several models, or several pipelines, and none of them is the one that the image serves at `/predictions`. Name one pipeline `main`.',
  'step-input':
    'A step gives an input that its model does not have, lacks one that it must have, or nothing says where its inputs come from. Write `input`.',
  'step-type':
    'A value cannot be what it flows into: text into a number, a file into text, a field that an output does not have, two types for one input of a pipeline.',
  // predict.py
  'syntax-error': 'The file is not valid Python.',
  'predictor-missing': 'The file defines no class or function of the name that cog.yaml gives.',
  'method-missing':
    'The class has neither a `run` nor a `predict` method (`train` for trainings), itself or in its bases.',
  'missing-type': 'An input has no annotation, so that its form cannot be told.',
  'missing-return-type': 'The function has no return annotation, so that the form of its output cannot be told.',
  'unknown-type': 'A type is defined nowhere in the project, and no import names it.',
  'unsupported-type':
    'A type has no JSON form, such as a tuple, a set or an array. Use a type of the table in `docs/reference/openapi.md`.',
  'unsupported-parameter': 'Inputs have names; `*args` and `**kwargs` have none, and are given nothing.',
  'unknown-default':
    'The default can only be known by running the code. Use a literal, a constant, or None with an optional type. As with Cog, the input is required when the default stands in `Input()`.',
  'unknown-choices':
    'The choices can only be known by running the code. Use literals, constants and plain operations on them.',
  'unknown-value':
    'A limit or description can only be known by running the code, and is left out. Use a literal or a constant.',
  'invalid-input': '`Input()` is called with an argument that it does not have, or not by name.',
  'invalid-constraint': 'A limit or choice does not go with the type of the input.',
  'invalid-default':
    'The default is not of the type of the input, or none of its choices. It holds as it is; the same value in a request is refused.',
  'replaced-method':
    'The class puts something else in place of its method, made by code. The `def` is described; write the final signature there.',
  'none-default': 'The default is None and the type does not admit None; as with Cog, the input is required then.',
  'invalid-output': 'The function yields values, but its annotation does not say that it gives an iterator.',
  'invalid-streaming': '`@streaming` stands on a function whose output is no iterator.',
  'invalid-concurrency': '`@concurrent` is not given a whole number, or stands on a function that is not `async`.',
} as const

/** A stable name for what a diagnostic is about. */
export type DiagnosticCode = keyof typeof DIAGNOSTIC_CODES

/** The reference page of all codes as Markdown. */
export function renderDiagnosticReference(): string {
  const sections = Object.entries(DIAGNOSTIC_CODES).map(([code, text]) => `## ${code}\n\n${text}\n`)
  return `# Problems in cog.yaml and in the predictor

<!-- Made from src/core/diagnostic-codes.ts by tools/reference.mjs; a test fails when it is stale. -->

Every problem is reported in one pass, before anything is asked of the network, with file, line and column. The code in
brackets is stable. \`--json\` and \`--progress json\` give the same as data.

${sections.join('\n')}`
}
