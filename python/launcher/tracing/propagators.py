"""Which headers say a trace context: those that ``OTEL_PROPAGATORS`` names are read from callers and sent on."""

from __future__ import annotations

import re
from typing import Callable, Mapping, NamedTuple, Sequence

from .context import TraceContext, is_baggage, parse_ids, parse_jaeger, parse_traceparent

#: a header's value by its lower-case name
Headers = Callable[[str], "str | None"]


class Propagator(NamedTuple):
    """One format."""

    #: None where the headers say nothing, or nothing that makes sense
    extract: Callable[[Headers], "TraceContext | None"]
    inject: Callable[[TraceContext], "dict[str, str]"]


_B3 = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?\Z")


def _extract_w3c(header: Headers) -> TraceContext | None:
    return parse_traceparent(header("traceparent") or "", header("tracestate") or "")


def _inject_w3c(context: TraceContext) -> dict[str, str]:
    return context.carrier


def _extract_b3(header: Headers) -> TraceContext | None:
    """Both forms, the single header first (OpenTelemetry, "Propagators API", "B3 Extract"); what says nothing of sampling is not sampled."""
    match = _B3.match((header("b3") or "").strip())
    if match is not None:
        return parse_ids(match[1], match[2], (match[3] or "0") in "1d")
    trace_id, span_id = (header(f"x-b3-{name}") or "" for name in ("traceid", "spanid"))
    is_sampled = (header("x-b3-sampled") or "").lower() in ("1", "true") or header("x-b3-flags") == "1"
    return parse_ids(trace_id.strip(), span_id.strip(), is_sampled)


def _inject_b3(context: TraceContext) -> dict[str, str]:
    return {"b3": f"{context.trace_id}-{context.span_id}-{context.flags & 1}"}


def _inject_b3multi(context: TraceContext) -> dict[str, str]:
    return {"x-b3-traceid": context.trace_id, "x-b3-spanid": context.span_id, "x-b3-sampled": str(context.flags & 1)}


_FORMATS: Mapping[str, Propagator] = {
    "tracecontext": Propagator(_extract_w3c, _inject_w3c),
    "b3": Propagator(_extract_b3, _inject_b3),
    "b3multi": Propagator(_extract_b3, _inject_b3multi),
    "jaeger": Propagator(lambda header: parse_jaeger(header("uber-trace-id") or ""), lambda context: {"uber-trace-id": context.jaeger}),
}
DEFAULT = ("tracecontext", "baggage")


class Propagators:
    """Those that were named, in their order."""

    def __init__(self, names: Sequence[str]) -> None:
        """:raises ValueError: for a name that is none"""
        for name in names:
            if name not in _FORMATS and name not in ("baggage", "none"):
                known = ", ".join([*_FORMATS, "baggage", "none"])
                raise ValueError(f"OTEL_PROPAGATORS must be of {known}, not {name}")
        if "none" in names and len(names) > 1:
            raise ValueError("OTEL_PROPAGATORS cannot be none and something else")
        self.names = tuple(dict.fromkeys(names))
        self._formats = [_FORMATS[name] for name in self.names if name in _FORMATS]
        self._has_baggage = "baggage" in self.names
        #: a request may belong to a trace although it has no ``traceparent``
        self.reads_more = any(name not in DEFAULT and name != "none" for name in self.names)

    def extract(self, header: Headers) -> TraceContext | None:
        """The caller's context: of several that the headers say, that of the format that was named last."""
        found = None
        for propagator in self._formats:
            found = propagator.extract(header) or found
        baggage = header("baggage") or "" if found is not None and self._has_baggage else ""
        return found._replace(baggage=baggage) if found is not None and is_baggage(baggage) else found

    def inject(self, context: TraceContext) -> dict[str, str]:
        """The headers that say a context."""
        headers: dict[str, str] = {"baggage": context.baggage} if context.baggage else {}
        for propagator in self._formats:
            headers.update(propagator.inject(context))
        return headers


def parse_names(text: str) -> Sequence[str]:
    """The names in a list with commas; the default for an empty one."""
    return [name.strip().lower() for name in text.split(",") if name.strip()] or DEFAULT
