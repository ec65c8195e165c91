"""Inputs: JSON to what the annotation says. Outputs: what was returned to JSON."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import inspect
import io
import os
import pathlib
import types
import typing
from typing import Any, Callable

from cog.coder import Coder
from cog.input import FieldInfo
from cog.types import File, Path, Secret

from .channel import FILE_KEY

Convert = Callable[[Any], Any]


def input_binder(handler: Callable[..., Any], is_batch: bool = False) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function from a request's input to the handler's keyword arguments.

    Defaults come from the signature. The launcher has validated the input; here values only change their type.
    """
    try:
        hints = typing.get_type_hints(handler, include_extras=True)
    except Exception:  # a name that exists for type checkers only: go by what can be read
        hints = {}
    converters: dict[str, Convert] = {}
    defaults: dict[str, Any] = {}
    names = set()
    for name, parameter in inspect.signature(handler).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        names.add(name)
        annotation = hints.get(name, parameter.annotation)
        if is_batch:
            annotation = (typing.get_args(annotation) or (Any,))[0]
        convert = _converter(annotation)
        if convert is not None:
            converters[name] = convert
        default = parameter.default
        if isinstance(default, FieldInfo):
            default = default.default
        elif default is parameter.empty:
            default = None
        if isinstance(default, dataclasses.Field):
            default = None if default.default is dataclasses.MISSING else default.default
        defaults[name] = default if convert is None or default is None else _convert_default(convert, default)
    mutable = [name for name, value in defaults.items() if isinstance(value, (list, dict, set))]

    def bind(values: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(defaults)
        for name in mutable:
            if name not in values:
                arguments[name] = copy.deepcopy(defaults[name])
        for name, value in values.items():
            if name in names:
                convert = converters.get(name)
                arguments[name] = value if convert is None or value is None else convert(value)
        return arguments

    return bind


def _convert_default(convert: Convert, default: Any) -> Any:
    try:
        return convert(default)
    except Exception:
        return default


def _converter(annotation: Any) -> Convert | None:
    """How a JSON value becomes a value of the type; None when it is one already."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _converter(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _union_converter([a for a in arguments if a is not type(None)])
    if origin in (list, tuple, set, frozenset) or annotation in (tuple, set, frozenset):
        kind = origin or annotation
        item = _converter(arguments[0]) if arguments else None
        if item is None:
            return None if kind is list else kind
        return lambda values: kind(item(value) for value in values)
    if origin is dict and len(arguments) == 2:
        item = _converter(arguments[1])
        return None if item is None else lambda values: {key: item(value) for key, value in values.items()}
    if not inspect.isclass(annotation):
        return None
    return _class_converter(annotation)


def _union_converter(members: list[Any]) -> Convert | None:
    converters = [_converter(member) for member in members]
    if len(converters) == 1:
        return converters[0]
    if not any(converters):
        return None

    def convert(value: Any) -> Any:
        for member, converter in zip(members, converters):
            if converter is None:
                if inspect.isclass(member) and isinstance(value, member):
                    return value
                continue
            try:
                return converter(value)
            except (TypeError, ValueError):
                continue
        return value

    return convert


def _class_converter(cls: type) -> Convert | None:
    if cls in (str, int, float, bool, dict, list, type(None), object):
        return float if cls is float else None
    if issubclass(cls, File):
        return lambda path: open(path, "rb")  # noqa: SIM115 - the handler reads it; closed with its folder
    if issubclass(cls, pathlib.Path):
        return Path if cls is pathlib.Path or issubclass(cls, Path) else cls
    if cls is io.IOBase:
        return lambda path: open(path, "rb")  # noqa: SIM115
    if issubclass(cls, Secret) or issubclass(cls, enum.Enum):
        return cls
    coder = Coder.lookup(cls)
    if coder is not None:
        return coder.decode
    validate = getattr(cls, "model_validate", None) or getattr(cls, "parse_obj", None)
    if validate is not None:
        return typing.cast(Convert, validate)
    if dataclasses.is_dataclass(cls):
        return _dataclass_converter(cls)
    return None


def _dataclass_converter(cls: type) -> Convert:
    bind_fields: dict[str, Convert | None] = {}
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        bind_fields[field.name] = _converter(hints.get(field.name, Any))

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        arguments = {}
        for name, item in value.items():
            if name in bind_fields:
                converter = bind_fields[name]
                arguments[name] = item if converter is None or item is None else converter(item)
        return cls(**arguments)

    return convert


_PLAIN = (str, int, float, bool, type(None))


#: as deep as Cog's server takes it; what reads the answer has such a limit too
DEPTH = 128


def to_json(value: Any, depth: int = 0) -> Any:
    """Make a returned value plain JSON; files become ``{FILE_KEY: path}``.

    :raises TypeError: for a value with no JSON form, by name of its type
    :raises ValueError: for one that is nested too deep, or without end
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else whole_text(value)
    if kind in _PLAIN:
        return value
    if depth >= DEPTH:
        raise ValueError(f"An output may be nested {DEPTH} deep")
    if kind is dict:
        return {_key(key): to_json(item, depth + 1) for key, item in value.items()}
    if kind in (list, tuple):
        return [to_json(item, depth + 1) for item in value]
    return _special(value, depth)


def whole_text(text: str) -> str:
    """Text that UTF-8 can say: half of a surrogate pair, as a cut-off token gives it, becomes a question mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _key(key: Any) -> str:
    if isinstance(key, str):
        return whole_text(key)
    if isinstance(key, enum.Enum):
        return str(key.value)
    return "true" if key is True else "false" if key is False else "null" if key is None else str(key)


def _special(value: Any, depth: int) -> Any:
    if isinstance(value, enum.Enum):
        return to_json(value.value, depth + 1)
    if isinstance(value, pathlib.PurePath):
        return _file(value)
    coder = Coder.lookup(type(value)) if Coder._coders else None
    if coder is not None:
        return to_json(coder.encode(value), depth + 1)
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, io.IOBase) or (hasattr(value, "read") and hasattr(value, "name")):
        return _open_file(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return to_json(dump(), depth + 1)
    if hasattr(value, "__fields__") and callable(getattr(value, "dict", None)):  # pydantic 1
        return to_json(value.dict(), depth + 1)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    for convert in ("tolist", "item"):  # arrays and their scalars, whichever library they come from
        method = getattr(value, convert, None)
        if callable(method):
            return to_json(method(), depth + 1)
    for base in _PLAIN[:3]:
        if isinstance(value, base):
            return to_json(base(value), depth + 1)
    if isinstance(value, typing.Mapping):
        return {_key(key): to_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) or inspect.isgenerator(value):
        return [to_json(item, depth + 1) for item in value]
    raise TypeError(f"An output of type {type(value).__name__} has no JSON form")


def _file(path: pathlib.PurePath) -> dict[str, str]:
    convert = getattr(path, "convert", None)
    if convert is not None:
        path = convert()
    text = os.path.abspath(str(path))
    if not os.path.isfile(text):
        raise FileNotFoundError(f"Output file does not exist: {text}")
    return {FILE_KEY: text}


def _open_file(handle: Any) -> dict[str, str]:
    """A file object is copied, since it may lie in memory only."""
    import tempfile

    if hasattr(handle, "seek"):
        handle.seek(0)
    data = handle.read()
    name = os.path.basename(str(getattr(handle, "name", "") or "output"))
    folder = tempfile.mkdtemp(prefix="output-")
    path = os.path.join(folder, name)
    with open(path, "wb") as target:
        target.write(data.encode() if isinstance(data, str) else data)
    return {FILE_KEY: path}
