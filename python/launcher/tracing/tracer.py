"""The tracer: begins spans, decides which traces are recorded, and hands ended ones to the exporter."""

from __future__ import annotations

import logging
import os
from typing import Any, Callable, Mapping

from ..files import mask_url
from .context import TraceContext, make_span_id, make_trace_id, parse_jaeger, parse_traceparent
from .exporter import Exporter
from .settings import TracingSettings, load
from .span import Span
from .untraced import INTERNAL, NO_TRACER, UNTRACED, NoTracer, Untraced

log = logging.getLogger("layerwright.tracing")

SCOPE = "layerwright"


class Tracer:
    """Begins spans."""

    is_on = True

    def __init__(self, settings: TracingSettings) -> None:
        self.settings = settings
        self.exporter = Exporter(settings)
        self.starts_traces = settings.starts_traces or settings.header is not None or settings.propagators.reads_more
        #: what the model process is told; the sampler in the words that OpenTelemetry's SDK reads
        self.environment: Mapping[str, str] = {
            "LAYERWRIGHT_TRACING": "export" if settings.is_configured else "context",
            "OTEL_TRACES_SAMPLER": settings.sampler_name,
            "OTEL_TRACES_SAMPLER_ARG": f"{settings.sampler_ratio:g}",
        }

    def start(
        self,
        name: str,
        kind: int = INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        parent: TraceContext | None = None,
    ) -> Span | Untraced:
        """Begin a span below a caller's, or a trace; what is not sampled hands the caller's context on."""
        trace_id = parent.trace_id if parent is not None else make_trace_id()
        if not self.settings.sampler(parent, trace_id):
            return UNTRACED if parent is None else self._untraced(parent._replace(flags=parent.flags & ~1))
        caller = parent or TraceContext(trace_id, "")
        context = caller._replace(span_id=make_span_id(), flags=caller.flags | 1)
        return Span(self, context, None if parent is None else (parent.span_id, True), name, kind, attributes)

    def setup(self, model: str | None) -> Any:
        """Begin the spans of a setup, of that model where there are several."""
        from .setup import SetupSpans

        return SetupSpans(self, model)

    def request(self, method: str, route: Callable[[], str], header: Callable[[bytes], str | None]) -> Any:
        """Begin the spans of a request that can make a prediction."""
        from .request import begin_request

        return begin_request(self, method, route(), header)

    def delivery(self, stream: str, entry: str, deliveries: int, carrier: Mapping[str, str]) -> Any:
        """Begin the spans of a job's delivery."""
        from .request import begin_delivery

        return begin_delivery(self, stream, entry, deliveries, carrier)

    def parent_of(self, header: Any) -> TraceContext | None:
        """The caller's context; ``header`` gives a header by its lower-case name. One that is malformed is none."""
        found = self.settings.propagators.extract(header)
        if found is not None or self.settings.header is None:
            return found
        text = header(self.settings.header) or ""
        return parse_jaeger(text) if self.settings.header_format == "jaeger" else parse_traceparent(text)

    def carrier(self, context: TraceContext) -> Mapping[str, str]:
        """The headers that say a context, with the one of the operator's own."""
        carrier = self.settings.propagators.inject(context)
        if self.settings.header is not None:
            is_jaeger = self.settings.header_format == "jaeger"
            carrier[self.settings.header] = context.jaeger if is_jaeger else context.carrier["traceparent"]
        return carrier

    def model_carrier(self, context: TraceContext) -> Mapping[str, str]:
        """The same for the model, which reads W3C's headers in any case."""
        return {**self.carrier(context), **context.carrier}

    def _untraced(self, context: TraceContext) -> Untraced:
        carrier = self.carrier(context)
        return Untraced(carrier, {**carrier, **context.carrier})

    @property
    def counts(self) -> Mapping[str, int]:
        """Spans by what became of them."""
        return self.exporter.counts

    def close(self, timeout: float) -> None:
        """Send what is there, for so many seconds at most."""
        self.exporter.close(timeout)

    def add(self, span: dict[str, Any], role: str) -> None:
        """Take a span of the launcher's own that has ended."""
        self.exporter.add(role, SCOPE, span)

    def adopt(self, scope: Any, span: Any) -> None:
        """Take a span that the model made."""
        if isinstance(scope, str) and isinstance(span, dict):
            self.exporter.add("worker", scope, span)


def make_tracer(env: Mapping[str, str] = os.environ) -> Tracer | NoTracer:
    """A tracer of the environment's variables; one that is off, and a line that says why, where they make no sense."""
    try:
        settings = load(env)
        tracer = Tracer(settings)
    except (ValueError, OSError) as error:
        log.warning("Tracing is off: %s", error)
        return NO_TRACER
    which = "requests that are part of a sampled trace" if settings.sampler_name == "parentbased_always_off" else "requests"
    log.info("Traces of %s are exported to %s (%s, %s)", which, mask_url(settings.endpoint), settings.protocol, settings.sampler_name)
    return tracer
