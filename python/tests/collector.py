"""A collector of traces on loopback, which takes OTLP over HTTP as JSON, and as protobuf where its parser is installed."""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import threading
from typing import Any

from support import until


@dataclasses.dataclass
class Seen:
    """A span that arrived."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    flags: int
    state: str
    attributes: dict[str, Any]
    #: of its process
    resource: dict[str, Any]
    scope: str
    events: list[tuple[str, dict[str, Any]]]
    links: list[str]
    is_error: bool


class Collector:
    """Keeps what it is sent; the first ``refusals`` say with which statuses it answers before that."""

    def __init__(self, *refusals: int) -> None:
        self.spans: list[Seen] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.raw: list[bytes] = []
        self.refusals = list(refusals)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Keep it."""
                raw = self.rfile.read(int(self.headers["content-length"]))
                outer.paths.append(self.path)
                outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                status = outer.refusals.pop(0) if outer.refusals else 200
                if status == 200:
                    outer._take(gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw, self.headers["content-type"])
                self.send_response(status)
                if status == 307:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def env(self) -> dict[str, str]:
        """Variables that send everything here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def find(self, name: str, count: int = 1) -> list[Seen]:
        """Wait for so many spans of a name; all of them, oldest first."""

        def found() -> list[Seen]:
            return [span for span in list(self.spans) if span.name == name]

        until(lambda: len(found()) >= count)
        return sorted(found(), key=lambda span: span.start)

    def one(self, name: str) -> Seen:
        """Wait for the only span of a name."""
        (span,) = self.find(name)
        return span

    def _take(self, raw: bytes, kind: str) -> None:
        self.raw.append(raw)
        if kind == "application/json":
            self.spans += _flatten(json.loads(raw))
            return
        from google.protobuf.json_format import MessageToDict
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        message = MessageToDict(ExportTraceServiceRequest.FromString(raw), use_integers_for_enums=True)
        self.spans += _flatten(message, _from_base64)


def _flatten(message: dict[str, Any], text: Any = str) -> list[Seen]:
    """The spans of a request; ``text`` gives an id as hexadecimal."""
    return [
        Seen(
            name=span["name"],
            trace=text(span["traceId"]),
            id=text(span["spanId"]),
            parent=text(span.get("parentSpanId", "")),
            kind=span["kind"],
            start=int(span["startTimeUnixNano"]),
            end=int(span["endTimeUnixNano"]),
            flags=span.get("flags", 0),
            state=span.get("traceState", ""),
            attributes=_values(span.get("attributes", [])),
            resource=_values(group["resource"].get("attributes", [])),
            scope=scoped.get("scope", {}).get("name", ""),
            events=[(event["name"], _values(event.get("attributes", []))) for event in span.get("events", [])],
            links=[text(link["spanId"]) for link in span.get("links", [])],
            is_error=span.get("status", {}).get("code") == 2,
        )
        for group in message["resourceSpans"]
        for scoped in group["scopeSpans"]
        for span in scoped["spans"]
    ]


def _values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: _value(one["value"]) for one in attributes}


def _value(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    return int(inner) if kind == "intValue" else [_value(one) for one in inner["values"]] if kind == "arrayValue" else inner


def _from_base64(text: str) -> str:
    import base64

    return base64.b64decode(text).hex()
