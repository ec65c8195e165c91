"""``Input()``: default, description and limits of one parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence


@dataclass(frozen=True)
class FieldInfo:
    """What ``Input()`` holds; the build reads the same facts from the source text."""

    default: Any = None
    description: str | None = None
    ge: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    regex: str | None = None
    choices: Sequence[str | int] | None = None
    deprecated: bool | None = None
    accept: str | None = None


def Input(  # noqa: N802 - Cog's public name
    default: Any = None,
    *,
    default_factory: Any = None,
    description: str | None = None,
    ge: float | None = None,
    le: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    regex: str | None = None,
    choices: Sequence[str | int] | None = None,
    deprecated: bool | None = None,
    accept: str | None = None,
) -> Any:
    """Describe a parameter of ``run()``.

    :param accept: MIME types or file extensions for files, in the form of HTML's ``accept`` attribute
    :raises TypeError: for ``default_factory``, whose value could not be written into the schema
    """
    if default_factory is not None:
        raise TypeError(
            "default_factory is not supported in Input(): give a literal default, or make the value inside run()"
        )
    # Ellipsis is how the pydantic-based Cog marked a required input.
    return FieldInfo(
        None if default is ... else default,
        description,
        ge,
        le,
        min_length,
        max_length,
        regex,
        choices,
        deprecated,
        accept,
    )
