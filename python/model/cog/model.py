"""``BaseModel``: an output (or nested input) with named fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any


class BaseModel:
    """A base whose children become dataclasses by being declared.

    ``class Output(BaseModel, auto_dataclass=False)`` leaves the child as written; it must then be a dataclass by
    its own decorator. Other keyword arguments go to :func:`dataclasses.dataclass`.
    """

    def __init_subclass__(cls, *, auto_dataclass: bool = True, init: bool = True, **options: Any) -> None:
        super().__init_subclass__()
        for base in cls.__bases__[1:]:
            if is_dataclass(base):
                raise TypeError(f'Cannot mixin dataclass "{base.__name__}" while inheriting from `BaseModel`')
        parent = cls.__bases__[0]
        if not auto_dataclass and parent is not BaseModel and parent.__dict__.get("__cog_dataclass__"):
            raise ValueError(
                f'Primary base class of "{cls.__name__}" ("{parent.__name__}") has auto_dataclass=True, '
                f'but "{cls.__name__}" has auto_dataclass=False. This creates broken field inheritance.'
            )
        inherits_off = parent is not BaseModel and parent.__dict__.get("__cog_dataclass__") is False
        cls.__cog_dataclass__ = auto_dataclass and not inherits_off  # type: ignore[attr-defined]
        if cls.__cog_dataclass__:  # type: ignore[attr-defined]
            dataclass(init=init, **options)(cls)

    def dict(self) -> dict[str, Any]:
        """The fields by name, nested ones included; the older, pydantic-like spelling."""
        return asdict(self)  # type: ignore[call-overload]

    model_dump = dict
