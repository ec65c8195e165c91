"""Spans of a prediction, from the moment it was taken to its end; Cog's names, so that its dashboards fit."""

from __future__ import annotations

import re
import time
from typing import Any, Iterable, Mapping

from .context import TraceContext
from .span import Span
from .untraced import INTERNAL

#: a wait that is shorter, in nanoseconds, gets no span
_WAIT_NS = 1_000_000
_EXCEPTION = re.compile(r"([A-Za-z_][A-Za-z0-9_.]{0,127})(?::|\Z)")
_TAG = re.compile(r"trace\.([A-Za-z0-9._-]{1,64})\Z")
_TAGS, _TAG_BYTES, _ALL_TAG_BYTES = 16, 128, 4096


class PredictionSpans:
    """Listens to a prediction; the model is given the context of the span around its call."""

    def __init__(self, span: Span, prediction: Any, noun: str) -> None:
        self._span, self._prediction, self._noun = span, prediction, noun
        span.attributes.update({"cog.prediction.id": prediction.id, **caller_tags(prediction.context or {})})
        self._wait = span.child(f"{noun}.wait")
        attributes = {"cog.prediction.id": prediction.id}
        self._execute = span.child(f"{noun}.execute", attributes=attributes, role="worker")
        self.invoke = self._execute.child(f"{noun}.invoke", attributes=attributes)
        self._has_begun = False
        prediction.span, prediction.trace = self, self.invoke.model_carrier
        prediction.listeners.insert(0, self._listen)

    def child(self, name: str, kind: int = INTERNAL, attributes: "Mapping[str, Any] | None" = None) -> Span:
        """A span of something done for the prediction by the launcher; its name goes below the prediction's."""
        return self._span.child(f"{self._noun}.{name}", kind, attributes)

    @property
    def context(self) -> TraceContext:
        """Of the span around the model's call."""
        return self.invoke.context

    def join(self, others: Iterable[Any]) -> None:
        """The model takes it in one call with these."""
        for number, other in enumerate(others, 1):
            self._execute.set("cog.batch.size", number)
            if other is not self:
                self.invoke.link(other)

    def follow_step(self, prediction: Any, name: str, model: str) -> None:
        """Begin the spans of a step's prediction, below the one that stands around the model's call elsewhere."""
        attributes = {"layerwright.step.name": name, "layerwright.step.model": model}
        PredictionSpans(self.invoke.child(f"{self._noun}.step", attributes=attributes, role="parent"), prediction, self._noun)

    def refuse(self, reason: str) -> None:
        """The engine did not take it."""
        if self._prediction is not None:
            self._prediction = None
            self._span.set("cog.prediction.status", "failed")
            self._span.end(reason)

    def _listen(self, event: str, data: Any) -> None:
        if event == "start":
            self._has_begun = True
            self._execute.start_ns = time.time_ns()
            if self._execute.start_ns - self._wait.start_ns >= _WAIT_NS:
                self._wait.end()
        elif event == "completed":
            self._complete()

    def _complete(self) -> None:
        prediction = self._prediction
        error, exception = None, None
        if prediction.status == "failed":
            error = "model_process_died" if prediction.is_crash else "prediction_failed"
            exception = exception_type(prediction.error or "")
        if self._has_begun:
            end = int((prediction.left_model_at or prediction.completed_at) * 1e9)
            took = int(prediction.metrics.get("predict_time", 0.0) * 1e9)
            self.invoke.start_ns = max(self._execute.start_ns, end - took)
            self.invoke.end(exception or error, exception, end)
            self._execute.end(exception or error, None, end)
        else:
            self._wait.end()
        self._span.set("cog.prediction.status", prediction.status)
        self._span.end(error)
        self._prediction = None  # they know each other: without this the collector would have to find them


def exception_type(text: str) -> str | None:
    """The type of the exception that a text such as ``ValueError: seven`` tells of."""
    match = _EXCEPTION.match(text)
    return match[1] if match is not None else None


def caller_tags(context: Mapping[str, str]) -> dict[str, str]:
    """What a caller wants on its prediction's span: ``trace.*`` of the request's context, within Cog's bounds."""
    tags: dict[str, str] = {}
    size = 0
    for name, value in sorted(context.items()):
        match = _TAG.match(name)
        if match is None or len(tags) == _TAGS:
            continue
        key, text = f"caller.{match[1]}", value.encode("utf-8", "replace")[:_TAG_BYTES].decode("utf-8", "ignore")
        size += len(key) + len(text.encode())
        if size > _ALL_TAG_BYTES:
            break
        tags[key] = text
    return tags
