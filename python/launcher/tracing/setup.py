"""Spans of a setup: from the start of the model process until it is ready."""

from __future__ import annotations

import os
import time
from typing import Mapping

from .context import parse_traceparent
from .prediction import exception_type
from .tracer import Tracer


class SetupSpans:
    """A setup, and the model's share in it: loading and ``setup()``."""

    def __init__(self, tracer: Tracer, model: str | None = None) -> None:
        # As OpenTelemetry's "Environment Variables as Context Propagation Carriers" has it.
        parent = parse_traceparent(os.environ.get("TRACEPARENT", ""), os.environ.get("TRACESTATE", ""))
        attributes = {} if model is None else {"layerwright.model": model}
        self._span = tracer.start("cog.setup", attributes=attributes, parent=parent)
        self._predictor = self._span.child("cog.setup.predictor", role="worker")
        #: for the model process
        self.environment: Mapping[str, str] = {
            **tracer.environment,
            "LAYERWRIGHT_TRACEPARENT": self._predictor.model_carrier.get("traceparent", ""),
        }

    def end(self, reason: str | None = None, seconds: float | None = None) -> None:
        """It is over.

        :param reason: why it failed; only the type of an exception is recorded
        :param seconds: what the model took of it
        """
        if not self._span or self._span.is_ended:
            return
        error, exception = (None, None) if reason is None else ("setup_failed", exception_type(reason))
        if seconds is not None:
            self._predictor.start_ns = time.time_ns() - int(seconds * 1e9)
        self._predictor.end(exception or error, exception)
        self._span.end(error)
