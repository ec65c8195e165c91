"""OpenTelemetry as the model's code sees it: the run's context is current, and spans go to the launcher, which exports them.

Imported only while the launcher traces. It uses what the project installed of ``opentelemetry-api`` and
``opentelemetry-sdk``, and neither is needed; the model needs no exporter and no address of a collector.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any, Callable, Mapping

from .channel import Channel

#: makes the context of a carrier current: a mapping with ``traceparent`` and ``tracestate``
Attach = Callable[[Mapping[str, str]], None]


def open_tracing(channel: Channel) -> Attach | None:
    """Before the project is imported; None where it has no OpenTelemetry, or nothing is traced."""
    mode = os.environ.pop("LAYERWRIGHT_TRACING", None)
    setup = os.environ.pop("LAYERWRIGHT_TRACEPARENT", "")
    if mode is None or importlib.util.find_spec("opentelemetry") is None:
        return None
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError as error:
        print(f"Tracing: the model's OpenTelemetry cannot be used: {error}", file=sys.stderr)
        return None
    extract = TraceContextTextMapPropagator().extract

    def attach(carrier: Mapping[str, str]) -> None:
        context.attach(extract(carrier, context.Context()))

    if mode == "export":
        _install_provider(channel)
    attach({"traceparent": setup})
    return attach


def _install_provider(channel: Channel) -> None:
    """A provider whose spans go through the channel, unless ``opentelemetry-sdk`` is missing."""
    from opentelemetry import trace

    path = os.environ.get("COG_OBSERVABILITY_CONFIG")
    if path:
        return _install_own(path)
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        return
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    class ToLauncher(SpanProcessor):
        def on_end(self, span: Any) -> None:
            """Hand a span over; a forked child's are not the model's to send."""
            scope = span.instrumentation_scope
            channel.send(["span", scope.name if scope is not None else "", _otlp(span)])

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(ToLauncher())
    trace.set_tracer_provider(provider)


def _install_own(path: str) -> None:
    """What Cog's ``observability.config`` names: a file that makes the provider, and may instrument libraries."""
    from opentelemetry import trace

    spec = importlib.util.spec_from_file_location("_cog_telemetry", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "create_tracer_provider", None)):
        raise TypeError(f"{path} must define create_tracer_provider()")
    trace.set_tracer_provider(module.create_tracer_provider())
    if hasattr(module, "configure_instrumentation"):
        module.configure_instrumentation()


def _otlp(span: Any) -> dict[str, Any]:
    """A span of the SDK as OTLP/JSON has it."""
    own = span.get_span_context()
    result: dict[str, Any] = {
        **_ids(own),
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes),
        "events": [
            {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [{**_ids(link.context), "attributes": _attributes(link.attributes)} for link in span.links],
        # OTLP counts unset, ok, error as the API does.
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
        "flags": int(own.trace_flags) | 0x100,
    }
    if own.trace_state:
        result["traceState"] = own.trace_state.to_header()
    if span.parent is not None:
        result["parentSpanId"] = f"{span.parent.span_id:016x}"
        result["flags"] |= 0x200 if span.parent.is_remote else 0
    return result


def _ids(context: Any) -> dict[str, str]:
    return {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}


def _attributes(values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in (values or {}).items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (tuple, list)):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}
