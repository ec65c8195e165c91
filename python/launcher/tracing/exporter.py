"""Sends spans to a collector, by a thread that nobody waits for."""

from __future__ import annotations

import collections
import logging
import random
import threading
import time
from typing import Any, Dict, Tuple

from ..files import mask_url
from .settings import TracingSettings
from .span import key_values
from .transport import Transport

log = logging.getLogger("layerwright.tracing")

#: how long one batch is tried, in seconds
_PATIENCE = 30.0

#: role, scope and span
Item = Tuple[str, str, Dict[str, Any]]


class Exporter:
    """A bounded queue and the thread that empties it; what finds the queue full is counted and dropped."""

    def __init__(self, settings: TracingSettings) -> None:
        """:raises OSError: when a certificate cannot be read"""
        self.settings = settings
        self.counts = {"exported": 0, "dropped": 0}
        self._transport = Transport(settings)
        self._queue: collections.deque[Item] = collections.deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def add(self, role: str, scope: str, span: dict[str, Any]) -> None:
        """Take a span that has ended; never waits."""
        if len(self._queue) >= self.settings.queue_length:
            self.counts["dropped"] += 1
            return
        self._queue.append((role, scope, span))
        if len(self._queue) >= self.settings.batch_length:
            self._wake.set()

    def close(self, timeout: float) -> None:
        """Send what is there, for so many seconds at most; what is left counts as dropped."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        self.counts["dropped"] += len(self._queue)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(self.settings.delay)
            self._wake.clear()
            is_last = self._closing.is_set()
            while self._queue and time.monotonic() < self._deadline:
                self._send([self._queue.popleft() for _ in range(min(len(self._queue), self.settings.batch_length))])

    def _send(self, batch: list[Item]) -> None:
        """Send a batch, or drop it: when it is refused, and when the collector is away for too long."""
        try:
            body = self._transport.encode(self._message(batch))
        except Exception as error:  # a span of the model's own making can be anything, and this thread must live
            self._count(0, len(batch), f"a span cannot be encoded: {error}")
            return
        until, pause = time.monotonic() + _PATIENCE, 1.0
        while True:
            timeout = min(self.settings.timeout, self._deadline - time.monotonic())
            outcome = self._transport.post(body, max(0.1, timeout))
            if outcome.problem is None or outcome.rejected:
                self._count(len(batch) - outcome.rejected, outcome.rejected, outcome.problem)
                return
            wait = max(outcome.retry_after or 0.0, pause * random.uniform(0.5, 1.0))
            if outcome.retry_after is None or time.monotonic() + wait > min(until, self._deadline):
                self._count(0, len(batch), outcome.problem)
                return
            self._count(0, 0, outcome.problem)
            self._closing.wait(wait)
            pause *= 2

    def _message(self, batch: list[Item]) -> dict[str, Any]:
        groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for role, scope, span in batch:
            groups.setdefault(role, {}).setdefault(scope, []).append(span)
        return {
            "resourceSpans": [
                {
                    "resource": {"attributes": key_values({**self.settings.resource, "cog.process.role": role})},
                    "scopeSpans": [{"scope": {"name": scope}, "spans": spans} for scope, spans in scopes.items()],
                }
                for role, scopes in groups.items()
            ]
        }

    def _count(self, exported: int, dropped: int, problem: str | None) -> None:
        """Note what became of spans, and say once per outage what is wrong; predictions go on."""
        self.counts["exported"] += exported
        self.counts["dropped"] += dropped
        if problem is None and self._is_away:
            self._is_away = False
            log.info("Traces are exported again")
        elif problem is not None and not self._is_away:
            self._is_away = True
            hint = "Predictions go on; spans are tried again for a while and then dropped. OTEL_EXPORTER_OTLP_ENDPOINT names the collector."
            log.warning("Traces cannot be exported to %s: %s\nhint: %s", mask_url(self.settings.endpoint), problem, hint)
