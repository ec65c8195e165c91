"""Sends spans to a collector, by a thread that nobody waits for."""

from __future__ import annotations

import collections
import gzip
import http.client
import logging
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Dict, Tuple

from pydantic_core import to_json

from ..files import mask_url
from .protobuf import REQUEST, encode
from .settings import TracingSettings
from .span import key_values

log = logging.getLogger("layerwright.tracing")

#: OTLP/HTTP, "Failures": the statuses after which the same request is sent again
_RETRY_STATUSES = frozenset((429, 502, 503, 504))
#: how long one batch is tried, in seconds
_PATIENCE = 30.0

#: role, scope and span
Item = Tuple[str, str, Dict[str, Any]]


class Exporter:
    """A bounded queue and the thread that empties it; what finds the queue full is counted and dropped."""

    def __init__(self, settings: TracingSettings) -> None:
        self.settings = settings
        self.counts = {"exported": 0, "dropped": 0}
        self._queue: collections.deque[Item] = collections.deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._is_away = False
        self._opener = _make_opener(settings)
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
            body = self._body(batch)
        except Exception as error:  # a span of the model's own making can be anything, and this thread must live
            return self._drop(batch, f"a span cannot be encoded: {error}")
        until, pause = time.monotonic() + _PATIENCE, 1.0
        while True:
            problem, wait = self._post(body)
            if problem is None:
                self.counts["exported"] += len(batch)
                if self._is_away:
                    self._is_away = False
                    log.info("Traces are exported again")
                return
            self._complain(problem)
            if wait is not None:
                wait = max(wait, pause * random.uniform(0.5, 1.0))
            if wait is None or time.monotonic() + wait > min(until, self._deadline):
                return self._drop(batch, problem)
            self._closing.wait(wait)
            pause *= 2

    def _post(self, body: bytes) -> tuple[str | None, float | None]:
        """Post once: None, or what went wrong and after how many seconds to try again, if at all."""
        remaining = self._deadline - time.monotonic()
        request = urllib.request.Request(self.settings.endpoint, body, self._headers())  # noqa: S310 - checked by the settings
        try:
            with self._opener.open(request, timeout=max(0.1, min(self.settings.timeout, remaining))) as response:
                response.read(65536)
            return None, None
        except urllib.error.HTTPError as error:
            after = error.headers.get("Retry-After") or ""
            return f"status {error.code}", (float(after) if after.isdigit() else 0.0) if error.code in _RETRY_STATUSES else None
        except (OSError, http.client.HTTPException) as error:
            return str(getattr(error, "reason", None) or error), 0.0
        except ValueError as error:
            return str(error), None

    def _headers(self) -> dict[str, str]:
        kind = "application/json" if self.settings.protocol == "http/json" else "application/x-protobuf"
        coding = {"Content-Encoding": "gzip"} if self.settings.is_compressed else {}
        return {"User-Agent": "OTel-OTLP-Exporter-layerwright", **self.settings.headers, "Content-Type": kind, **coding}

    def _body(self, batch: list[Item]) -> bytes:
        groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for role, scope, span in batch:
            groups.setdefault(role, {}).setdefault(scope, []).append(span)
        message = {
            "resourceSpans": [
                {
                    "resource": {"attributes": key_values({**self.settings.resource, "cog.process.role": role})},
                    "scopeSpans": [{"scope": {"name": scope}, "spans": spans} for scope, spans in scopes.items()],
                }
                for role, scopes in groups.items()
            ]
        }
        body = to_json(message) if self.settings.protocol == "http/json" else encode(message, REQUEST)
        return gzip.compress(body, 1) if self.settings.is_compressed else body

    def _drop(self, batch: list[Any], reason: str) -> None:
        self.counts["dropped"] += len(batch)
        self._complain(reason)

    def _complain(self, reason: str) -> None:
        """Say once per outage what is wrong; predictions go on."""
        if not self._is_away:
            self._is_away = True
            hint = "Predictions go on; spans are tried again for a while and then dropped. OTEL_EXPORTER_OTLP_ENDPOINT names the collector."
            log.warning("Traces cannot be exported to %s: %s\nhint: %s", mask_url(self.settings.endpoint), reason, hint)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token in the headers elsewhere, and make a GET of the POST."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _make_opener(settings: TracingSettings) -> urllib.request.OpenerDirector:
    if not settings.endpoint.startswith("https:"):
        return urllib.request.build_opener(_NoRedirect())
    context = ssl.create_default_context(cafile=settings.certificate)
    if settings.client_certificate is not None:
        context.load_cert_chain(*settings.client_certificate)
    return urllib.request.build_opener(_NoRedirect(), urllib.request.HTTPSHandler(context=context))
