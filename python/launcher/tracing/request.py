"""Spans of what asks for a prediction, an HTTP request or a job of the queue, and of checking it."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

from .context import parse_carrier
from .prediction import PredictionSpans
from .span import Span
from .tracer import Tracer
from .untraced import CONSUMER, SERVER, Untraced

#: Cog's words for refusals
_REFUSALS = {400: "validation_error", 422: "validation_error", 409: "duplicate", 429: "at_capacity", 503: "not_ready"}


class RequestSpans:
    """The spans of one that is recorded; ``answer`` or ``end`` is the last of its methods to be called."""

    def __init__(self, span: Span, noun: str, mode: str) -> None:
        self._span, self._noun, self._mode = span, noun, mode
        self._prediction: PredictionSpans | None = None

    @property
    def trace_id(self) -> str:
        """Of the trace that it is part of."""
        return self._span.context.trace_id

    def follow(self, prediction: Any) -> None:
        """Begin the spans of a prediction; what came before it was reading and checking the request."""
        span = self._begin()
        self._validate(span)
        self._prediction = PredictionSpans(span, prediction, self._noun)

    def refuse(self, status: int) -> None:
        """There will be no prediction: the status says why, as in HTTP."""
        reason = _REFUSALS.get(status)
        if self._prediction is not None:
            self._prediction.refuse(reason or str(status))
        elif reason == "validation_error":
            span = self._begin()
            self._validate(span, reason)
            span.set("cog.prediction.status", "failed")
            span.end(reason)

    def answer(self, status: int) -> None:
        """The answer was written; 0 when there was none."""
        if status:
            self._span.set("http.response.status_code", status)
        self._span.end(str(status) if status >= 500 else None)

    def end(self) -> None:
        """The job was dealt with."""
        self._span.end()

    def _begin(self) -> Span:
        span = self._span.child(self._noun, attributes={"cog.prediction.response_mode": self._mode})
        span.start_ns = self._span.start_ns
        return span

    def _validate(self, span: Span, error: str | None = None) -> None:
        validation = span.child(f"{self._noun}.validate")
        validation.start_ns = span.start_ns
        validation.end(error)


def begin_request(tracer: Tracer, method: str, route: str, header: Callable[[bytes], "str | None"]) -> "RequestSpans | Untraced":
    """Of an HTTP request that has a route; ``header`` gives its headers by lower-case name."""
    parent = tracer.parent_of(lambda name: header(name.encode()))
    attributes = {"http.request.method": method, "http.route": route}
    span = tracer.start(f"{method} {route}", SERVER, attributes, parent)
    if isinstance(span, Untraced):
        return span
    mode = "async" if "respond-async" in (header(b"prefer") or "") else "sync"
    mode = "sse" if "event-stream" in (header(b"accept") or "") else mode
    return RequestSpans(span, "cog.train" if route.startswith("/trainings") else "cog.prediction", mode)


def begin_delivery(tracer: Tracer, stream: str, entry: str, deliveries: int, carrier: Mapping[str, str]) -> "RequestSpans | Untraced":
    """Of a job that a Redis stream delivered; ``carrier`` is what its message says."""
    attributes = {
        "messaging.system": "redis",
        "messaging.operation.type": "process",
        "messaging.destination.name": stream,
        "messaging.message.id": entry,
        "cog.queue.deliveries": deliveries,
    }
    span = tracer.start(f"process {stream}", CONSUMER, attributes, parse_carrier(carrier))
    if isinstance(span, Untraced):
        return span
    sent_ns = int(entry.partition("-")[0]) * 1_000_000  # Redis numbers entries by its clock, in milliseconds
    if sent_ns < time.time_ns() - 1_000_000:
        wait = span.child("cog.queue.wait")
        wait.start_ns = sent_ns
        wait.end()
    return RequestSpans(span, "cog.prediction", "queue")
