"""``Coder``: how a project teaches the server a type of its own."""

from __future__ import annotations

from typing import Any, ClassVar


class Coder:
    """Converts one type to and from a JSON object; made known by :meth:`register`."""

    _coders: ClassVar[list[type["Coder"]]] = []

    @staticmethod
    def register(coder: type["Coder"]) -> None:
        """Make a coder known to the process."""
        if coder not in Coder._coders:
            Coder._coders.append(coder)

    @staticmethod
    def lookup(tpe: Any) -> "Coder | None":
        """The first registered coder that takes the type."""
        for coder in Coder._coders:
            found = coder.factory(tpe)
            if found is not None:
                return found
        return None

    @staticmethod
    def factory(tpe: Any) -> "Coder | None":
        """A coder for the type, or None; override it."""
        raise NotImplementedError

    def encode(self, x: Any) -> dict[str, Any]:
        """Value to JSON object; override it."""
        raise NotImplementedError

    def decode(self, x: dict[str, Any]) -> Any:
        """JSON object to value; override it."""
        raise NotImplementedError
