"""``@streaming`` and ``@concurrent``: marks on a predict handler that the build reads from the source."""

from __future__ import annotations

import inspect
from typing import Any, Callable, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def streaming(fn: F | None = None) -> Any:
    """Allow server-sent events for this handler; usable with and without parentheses."""
    return fn if fn is not None else lambda inner: inner


def concurrent(fn: F | None = None, *, max: int = 1) -> Any:  # noqa: A002 - Cog's public name
    """Let an async handler serve up to ``max`` predictions at a time.

    :raises TypeError: when ``max`` is above 1 and the handler is not asynchronous
    """
    if isinstance(max, bool) or not isinstance(max, int):
        raise TypeError("concurrent max must be an integer")
    if max < 1:
        raise ValueError("concurrent max must be at least 1")

    def mark(inner: F) -> F:
        is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
        if max > 1 and not is_async:
            raise TypeError("concurrent max greater than 1 requires an async function")
        inner.__cog_concurrent_max__ = max  # type: ignore[attr-defined]
        return inner

    if fn is None:
        return mark
    if not callable(fn):
        raise TypeError("concurrent must be used as @concurrent or @concurrent(max=...)")
    return mark(fn)
