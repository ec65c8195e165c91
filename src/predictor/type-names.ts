import type { ValueType } from './value-type.ts'

/** What to write instead of a type without a JSON form. */
export const SUPPORTED =
  'Types are str, int, float, bool, Path, File, Secret, Any, list[T], dict[str, T], Optional[T], unions, Literal, models, and iterators as output.'

/** What to write instead of some types that people try. */
export const HINTS: Readonly<Record<string, string>> = {
  'builtins.tuple': 'Use list[T].',
  'typing.Tuple': 'Use list[T].',
  'builtins.set': 'Use list[T].',
  'typing.Set': 'Use list[T].',
  'builtins.bytes': 'Use Path and give back a file.',
  'numpy.ndarray': 'Use list[float], or Path and a file.',
  'PIL.Image.Image': 'Use Path and save the image to a file.',
}

/** Types without arguments, by their full names. */
export const SIMPLE_TYPES: Readonly<Record<string, ValueType>> = {
  'builtins.str': { kind: 'string' },
  'builtins.int': { kind: 'integer' },
  'builtins.float': { kind: 'number' },
  'builtins.bool': { kind: 'boolean' },
  'builtins.dict': { kind: 'opaque' },
  'typing.Dict': { kind: 'opaque' },
  'typing.Mapping': { kind: 'opaque' },
  'builtins.list': { kind: 'list', item: { kind: 'any' } },
  'typing.List': { kind: 'list', item: { kind: 'any' } },
  'builtins.object': { kind: 'any' },
  'typing.Any': { kind: 'any' },
  'typing.Text': { kind: 'string' },
  'cog.Path': { kind: 'path' },
  'pathlib.Path': { kind: 'path' },
  'pathlib.PosixPath': { kind: 'path' },
  'cog.File': { kind: 'file' },
  'typing.IO': { kind: 'file' },
  'typing.BinaryIO': { kind: 'file' },
  'io.IOBase': { kind: 'file' },
  'cog.Secret': { kind: 'secret' },
  'pydantic.SecretStr': { kind: 'secret' },
}

/** A class of the project that derives from one of these is that type. */
export const SUBCLASSES: Readonly<Record<string, ValueType>> = {
  'cog.Path': { kind: 'path' },
  'pathlib.Path': { kind: 'path' },
  'cog.Secret': { kind: 'secret' },
}

/** Generic types by what they become. */
export const LISTS = new Set(['builtins.list', 'typing.List', 'typing.Sequence'])
/** Mappings with text as keys. */
export const DICTS = new Set(['builtins.dict', 'typing.Dict', 'typing.Mapping'])
/** Iterators of single values. */
export const ITERATORS = new Set([
  'cog.Iterator',
  'cog.AsyncIterator',
  'typing.Iterator',
  'typing.AsyncIterator',
  'typing.Iterable',
  'typing.AsyncIterable',
  'typing.Generator',
  'typing.AsyncGenerator',
])
/** Iterators of text that is shown joined. */
export const CONCATENATE_ITERATORS = new Set(['cog.ConcatenateIterator', 'cog.AsyncConcatenateIterator'])
/** Functions that stand for the default of a field. */
export const FIELD_FUNCTIONS = new Set(['pydantic.Field', 'cog.Field', 'dataclasses.field'])
