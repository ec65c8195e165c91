"""The running prediction as user code sees it: cancellation, metrics and context."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, Callable


class CancelationException(BaseException):
    """Raised inside a synchronous ``run()`` whose prediction was cancelled.

    It derives from ``BaseException`` so that ``except Exception`` does not swallow it.
    """


# Where Cog keeps it; pickles and tracebacks of user code then read the same.
CancelationException.__module__ = "cog"

_SEGMENT = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9]+)*\Z")
_MODES = {"replace": "replace", "incr": "increment", "increment": "increment", "append": "append"}


class MetricRecorder:
    """Metrics of one prediction; ``scope.metrics["tokens"] = 3`` and ``del`` work too."""

    def __init__(self, emit: Callable[[str, Any, str], None] | None) -> None:
        self._emit = emit
        self._values: dict[str, Any] = {}

    def record(self, key: str, value: Any, mode: str | None = None) -> None:
        """Set, increment or append to a metric.

        :param key: up to four dotted names, 128 characters; letters, digits and single underscores
        :param mode: ``replace`` (default), ``incr`` or ``append``
        :raises ValueError: for a bad name or mode; :raises TypeError: when the type of a key changes
        """
        how = _MODES.get(mode or "replace")
        if how is None:
            raise ValueError(f"Invalid metric mode: {mode!r}, use replace, incr or append")
        if self._emit is None:
            return
        _check_name(key)
        if value is None and how == "replace":
            return self.delete(key)
        if not isinstance(value, (bool, int, float, str, list, dict)):
            raise TypeError(f"Metric values are bool, int, float, str, list or dict, not {type(value).__name__}")
        self._store(key, value, how)
        self._emit(key, value, how)

    def delete(self, key: str) -> None:
        """Forget a metric; needed before its type may change."""
        if self._emit is not None and self._values.pop(key, None) is not None:
            self._emit(key, None, "delete")

    def __setitem__(self, key: str, value: Any) -> None:
        self.record(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def _store(self, key: str, value: Any, how: str) -> None:
        old = self._values.get(key)
        if how == "append":
            if old is None:
                self._values[key] = [value]
            elif isinstance(old, list):
                old.append(value)
            else:
                raise TypeError(f"Metric {key!r} holds a {type(old).__name__}: delete it before appending")
            return
        if how == "increment":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError("Only numbers can be incremented")
            if old is not None and (isinstance(old, bool) or not isinstance(old, (int, float))):
                raise TypeError(f"Metric {key!r} holds a {type(old).__name__}, which cannot be incremented")
            self._values[key] = (old or 0) + value
            return
        if old is not None and _family(old) != _family(value):
            raise TypeError(f"Metric {key!r} changes from {_family(old)} to {_family(value)}: delete it first")
        self._values[key] = value


def _family(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def _check_name(key: str) -> None:
    if key == "predict_time" or key.startswith("cog."):
        raise ValueError(f"Metric name is reserved: {key}")
    segments = key.split(".")
    if len(key) > 128 or len(segments) > 4 or not all(_SEGMENT.match(segment) for segment in segments):
        raise ValueError(f"Invalid metric name: {key!r}")


class Scope:
    """The prediction that is running in this thread or task."""

    def __init__(
        self, emit: Callable[[str, Any, str], None] | None = None, context: dict[str, str] | None = None, id: str = ""
    ) -> None:
        self.id = id
        self._emit = emit
        self._metrics: MetricRecorder | None = None
        #: what the request's ``context`` held
        self.context: dict[str, str] = context or {}

    @property
    def metrics(self) -> MetricRecorder:
        """The recorder of this prediction's metrics."""
        if self._metrics is None:
            self._metrics = MetricRecorder(self._emit)
        return self._metrics

    def record_metric(self, key: str, value: Any, mode: str | None = None) -> None:
        """Shorthand for ``scope.metrics.record``."""
        self.metrics.record(key, value, mode)


_nowhere = Scope()
#: set by the model process around each prediction; tasks and threads started with a copied context inherit it
active: ContextVar[Scope | None] = ContextVar("cog_scope", default=None)


def current_scope() -> Scope:
    """The running prediction's scope; outside of one, a scope that ignores everything (never ``None``)."""
    return active.get() or _nowhere
