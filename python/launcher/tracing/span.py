"""A span: a piece of work with a name, a beginning and an end, somewhere in a trace."""

from __future__ import annotations

import time
from typing import Any, Mapping, Protocol

from .context import TraceContext, make_span_id
from .untraced import INTERNAL

#: a text in an attribute, in characters; longer ones are cut
TEXT_LENGTH = 256
_ERROR = 2


class Sink(Protocol):
    """Takes spans that have ended."""

    def add(self, span: dict[str, Any], role: str) -> None:
        """Take one, as OTLP/JSON has it; ``role`` is the process that did the work."""

    def carrier(self, context: TraceContext) -> Mapping[str, str]:
        """The headers that say a context."""

    def model_carrier(self, context: TraceContext) -> Mapping[str, str]:
        """The headers that say it to the model."""


class Span:
    """A span that is recorded; ``end`` hands it to its sink."""

    __slots__ = ("_links", "_parent", "_sink", "attributes", "context", "is_ended", "kind", "name", "role", "start_ns")

    def __init__(
        self,
        sink: Sink,
        context: TraceContext,
        parent: tuple[str, bool] | None,
        name: str,
        kind: int = INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        role: str = "parent",
    ) -> None:
        """:param parent: the id of the span above, and whether that is another process's"""
        self._sink, self.context, self._parent = sink, context, parent
        self.name, self.kind, self.role = name, kind, role
        self.attributes: dict[str, Any] = dict(attributes or {})
        self._links: list[TraceContext] = []
        self.start_ns = time.time_ns()
        self.is_ended = False

    def child(self, name: str, kind: int = INTERNAL, attributes: Mapping[str, Any] | None = None, role: str | None = None) -> "Span":
        """A span below this one, which begins now."""
        context = self.context._replace(span_id=make_span_id())
        return Span(self._sink, context, (self.context.span_id, False), name, kind, attributes, role or self.role)

    @property
    def carrier(self) -> Mapping[str, str]:
        """Headers that continue the trace here."""
        return self._sink.carrier(self.context)

    @property
    def model_carrier(self) -> Mapping[str, str]:
        """The same for the model."""
        return self._sink.model_carrier(self.context)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute: a text, number or truth."""
        self.attributes[name] = value

    def link(self, other: Any) -> None:
        """Point to a span elsewhere in this trace or in another one, if that is recorded."""
        if other:
            self._links.append(other.context)

    def end(self, error: str | None = None, exception: str | None = None, at_ns: int | None = None) -> None:
        """End it, once.

        :param error: the class of what went wrong, ``error.type``
        :param exception: the type of the exception that did; its message stays out, since it may quote an input
        """
        if self.is_ended:
            return
        self.is_ended = True
        end = max(self.start_ns, time.time_ns() if at_ns is None else at_ns)
        span: dict[str, Any] = {
            "traceId": self.context.trace_id,
            "spanId": self.context.span_id,
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": str(self.start_ns),
            "endTimeUnixNano": str(end),
        }
        if self.context.state:
            span["traceState"] = self.context.state
        # Bit 8 says that bit 9 is known: whether the parent is another process's.
        span["flags"] = self.context.flags | 0x100
        if self._parent is not None:
            span["parentSpanId"] = self._parent[0]
            span["flags"] |= 0x200 * self._parent[1]
        if error is not None:
            self.attributes["error.type"] = error
            span["status"] = {"code": _ERROR}
        if exception is not None:
            event = {"timeUnixNano": str(end), "name": "exception"}
            span["events"] = [{**event, "attributes": key_values({"exception.type": exception})}]
        span["attributes"] = key_values(self.attributes)
        if self._links:
            span["links"] = [{"traceId": one.trace_id, "spanId": one.span_id} for one in self._links]
        self._sink.add(span, self.role)


def key_values(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP has them."""
    return [{"key": key, "value": _any_value(value)} for key, value in values.items()]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value if len(value) <= TEXT_LENGTH else value[:TEXT_LENGTH]}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return _any_value(str(value))
