"""Values that a plan writes down: constants, references to what is known when their turn comes, lists and objects of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Union

from ..files import FILE_KEY
from .problem import PlanError

#: what an input that the client left out is: no null, since the model's default holds then
MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING", "__bool__": lambda _: False})()


class BadReference(Exception):
    """A path leads nowhere."""


@dataclass(frozen=True)
class Reference:
    """A path into the input, the output of a step before, or the item at hand."""

    path: tuple["str | int", ...]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value; null where there is a null on the way.

        :raises BadReference: for a field or an element that is not there
        """
        value, seen = scope[str(self.path[0])], [self.path[0]]
        for key in self.path[1:]:
            if value is None:
                return None
            if self.path[0] == "input" and len(seen) == 1 and key not in value:
                return MISSING
            value = _step_into(value, key, seen)
            seen.append(key)
        return value

    def references(self) -> Iterator["Reference"]:
        """Itself."""
        yield self


@dataclass(frozen=True)
class Constant:
    """A value that is always the same."""

    value: Any

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value."""
        return self.value

    def references(self) -> Iterator[Reference]:
        """None."""
        yield from ()


@dataclass(frozen=True)
class Object:
    """An object of values; what is missing is left out."""

    fields: Mapping[str, "Value"]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The object."""
        values = {name: value.evaluate(scope) for name, value in self.fields.items()}
        return {name: value for name, value in values.items() if value is not MISSING}

    def references(self) -> Iterator[Reference]:
        """Those of its fields."""
        for value in self.fields.values():
            yield from value.references()


@dataclass(frozen=True)
class List:
    """A list of values; what is missing is null."""

    items: tuple["Value", ...]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The list."""
        return [present(item.evaluate(scope)) for item in self.items]

    def references(self) -> Iterator[Reference]:
        """Those of its items."""
        for item in self.items:
            yield from item.references()


@dataclass(frozen=True)
class Join:
    """One text of the pieces that a model gave: ``ConcatenateIterator`` where the next model takes a text."""

    pieces: "Value"

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The text; null for a step that did not run.

        :raises BadReference: for pieces that are no texts
        """
        pieces = self.pieces.evaluate(scope)
        if pieces is None or pieces is MISSING:
            return pieces
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            raise BadReference(f"The pieces are no texts: they are {_describe(pieces)}")
        return "".join(pieces)

    def references(self) -> Iterator[Reference]:
        """Those of its pieces."""
        yield from self.pieces.references()


Value = Union[Reference, Constant, Object, List, Join]


def present(value: Any) -> Any:
    """The value, or null for what is missing."""
    return None if value is MISSING else value


def read_value(node: Any, place: str) -> Value:
    """A value as ``models.json`` has it.

    :raises PlanError: with the place
    """
    kinds = {"ref", "const", "object", "list", "join"} & set(node) if isinstance(node, dict) else set()
    if len(kinds) != 1:
        raise PlanError(place, "must have one of `ref`, `const`, `object`, `list` and `join`")
    kind = kinds.pop()
    inner, place = node[kind], f"{place}.{kind}"
    if kind == "const":
        return Constant(inner)
    if kind == "join":
        return Join(read_value(inner, place))
    if kind == "object":
        if not isinstance(inner, dict):
            raise PlanError(place, "must be an object")
        return Object({name: read_value(child, f"{place}.{name}") for name, child in inner.items()})
    if not isinstance(inner, list):
        raise PlanError(place, "must be a list")
    if kind == "list":
        return List(tuple(read_value(child, f"{place}[{index}]") for index, child in enumerate(inner)))
    if not inner or not isinstance(inner[0], str) or not all(_is_key(key) for key in inner):
        raise PlanError(place, "must be a list of names and indices that begins with a name")
    return Reference(tuple(inner))


def _is_key(key: Any) -> bool:
    return isinstance(key, str) or (type(key) is int and key >= 0)


def _step_into(value: Any, key: "str | int", seen: list[Any]) -> Any:
    if isinstance(value, dict) and isinstance(key, str) and FILE_KEY not in value and key in value:
        return value[key]
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    raise BadReference(f"{_spell([*seen, key])} is not there: {_spell(seen)} is {_describe(value)}")


def _spell(path: list[Any]) -> str:
    """As in cog.yaml: ``$.detect.boxes[0]``."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def _describe(value: Any) -> str:
    if isinstance(value, dict) and FILE_KEY in value:
        return "a file"
    if isinstance(value, dict):
        return "an object with " + ", ".join(sorted(value)[:8]) if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return {str: "a text", bool: "a truth value"}.get(type(value), "a number")
