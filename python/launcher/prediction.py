"""One prediction: its request, what has come of it so far, and who listens."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Callable, Mapping

from .tracing.untraced import UNTRACED

TERMINAL = frozenset(("succeeded", "failed", "canceled"))

#: called with the event's name (start, log, output, metric, completed) and its data
Listener = Callable[[str, Any], None]


_second: tuple[int, str] = (-1, "")


def timestamp(seconds: float | None = None) -> str:
    """A time as RFC 3339 in UTC; the part before the fraction is made once a second."""
    global _second
    moment = time.time() if seconds is None else seconds
    whole = int(moment)
    if _second[0] != whole:
        _second = whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{_second[1]}.{int((moment - whole) * 1e6):06d}+00:00"


class Prediction:
    """State of a prediction or training; ``snapshot()`` is what clients and webhooks see."""

    __slots__ = (
        "_done",
        "canceled_at",
        "completed_at",
        "context",
        "created_at",
        "error",
        "folder",
        "hidden",
        "id",
        "input",
        "is_crash",
        "is_named",
        "is_withdrawable",
        "keeper",
        "left_model_at",
        "listeners",
        "logs",
        "metrics",
        "output",
        "sent_input",
        "span",
        "started_at",
        "status",
        "streamed",
        "tail",
        "trace",
        "webhook",
        "webhook_events_filter",
    )

    def __init__(self, request: dict[str, Any], id: str | None = None) -> None:
        named: str | None = id or request.get("id")
        #: the client chose the id, so another prediction may have it
        self.is_named = named is not None
        self.id: str = named or "pred_" + os.urandom(13).hex()
        self.input: dict[str, Any] = request.get("input") or {}
        #: the input with paths in place of URLs; None when there are no files
        self.sent_input: dict[str, Any] | None = None
        self.context: dict[str, str] | None = request.get("context")
        self.webhook: str | None = request.get("webhook")
        self.webhook_events_filter: list[str] | None = request.get("webhook_events_filter")
        #: its span, or what stands in for one
        self.span: Any = UNTRACED
        #: the trace context that the model is given
        self.trace: Mapping[str, str] = UNTRACED.carrier
        self.status = "starting"
        self.output: Any = None
        self.streamed = False
        self.logs: list[str] = []
        self.error: str | None = None
        self.metrics: dict[str, Any] = {}
        self.created_at = time.time()
        self.started_at: float | None = None
        self.completed_at: float | None = None
        #: when the model was done, where files of the output are sent after that
        self.left_model_at: float | None = None
        self.canceled_at: float | None = None
        #: inputs that are not shown again
        self.hidden: frozenset[str] = frozenset()
        #: the model process died under it
        self.is_crash = False
        #: another server may have it as long as it waits, so it waits here
        self.is_withdrawable = False
        #: of a pipeline's step: who moves its files, since they stay on disk; None for anything else
        self.keeper: Any = None
        #: temporary folder of the input files
        self.folder: str | None = None
        self.listeners: list[Listener] = []
        #: the last piece of file work that later events must wait for
        self.tail: asyncio.Task[None] | None = None
        self._done: asyncio.Future[None] | None = None

    @property
    def done(self) -> asyncio.Future[None]:
        """Comes true at the end; made when somebody asks."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
            if self.is_terminal:
                self._done.set_result(None)
        return self._done

    @property
    def trace_ids(self) -> tuple[str | None, str | None]:
        """Its trace, if it is part of one, and the span around the model's call, else the caller's (W3C Trace Context)."""
        parts = self.trace.get("traceparent", "").split("-")
        return (parts[1], parts[2]) if len(parts) >= 4 else (None, None)

    @property
    def is_terminal(self) -> bool:
        """Nothing will change any more."""
        return self.status in TERMINAL

    def emit(self, event: str, data: Any) -> None:
        """Tell the listeners."""
        for listener in tuple(self.listeners):
            listener(event, data)

    def start(self) -> None:
        """The model has been given the work."""
        self.status = "processing"
        self.started_at = time.time()
        if self.listeners:
            self.emit("start", None)

    def add_log(self, source: str, text: str) -> None:
        """Append to the log."""
        self.logs.append(text)
        if self.listeners:
            self.emit("log", {"data": text, "source": source})

    def add_output(self, value: Any) -> None:
        """Append a piece of a streamed output."""
        if not self.streamed:
            self.streamed, self.output = True, []
        self.output.append(value)
        if self.listeners:
            self.emit("output", {"chunk": value, "index": len(self.output) - 1})

    def add_metric(self, name: str, value: Any, mode: str) -> None:
        """Apply a metric; dots in its name nest."""
        target: dict[str, Any] = self.metrics
        *parents, leaf = name.split(".")
        for parent in parents:
            child = target.setdefault(parent, {})
            if not isinstance(child, dict):
                child = target[parent] = {}
            target = child
        if mode == "delete":
            target.pop(leaf, None)
        elif mode == "append":
            target[leaf] = [*(target[leaf] if isinstance(target.get(leaf), list) else []), value]
        elif mode == "increment":
            target[leaf] = (target.get(leaf) or 0) + value
        else:
            target[leaf] = value
        if self.listeners:
            self.emit("metric", {"name": name, "value": value, "mode": mode})

    def finish(self, status: str, *, error: str | None = None, seconds: float | None = None) -> None:
        """Reach a terminal state; a second call changes nothing."""
        if self.status in TERMINAL:
            return
        self.completed_at = time.time()
        if self.started_at is not None:
            self.metrics["predict_time"] = self.completed_at - self.started_at if seconds is None else seconds
        self.status, self.error = status, error
        if self.listeners:
            self.emit("completed", None)
            self.listeners.clear()  # the history would keep their connections
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def shown_input(self) -> dict[str, Any]:
        """The input without secrets, which the document calls write-only."""
        if not self.hidden:
            return self.input
        return {name: value for name, value in self.input.items() if name not in self.hidden}

    def snapshot(self, with_input: bool = False) -> dict[str, Any]:
        """The prediction object of the HTTP interface."""
        result: dict[str, Any] = {"id": self.id, "status": self.status}
        if with_input:
            result["input"] = self.shown_input()
        if self.output is not None or self.status == "succeeded":
            result["output"] = self.output
        result["logs"] = "".join(self.logs)
        if self.error is not None:
            result["error"] = self.error
        result["metrics"] = self.metrics
        result["created_at"] = timestamp(self.created_at)
        if self.started_at is not None:
            result["started_at"] = timestamp(self.started_at)
        if self.completed_at is not None:
            result["completed_at"] = timestamp(self.completed_at)
        return result
