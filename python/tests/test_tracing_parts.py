"""The parts of tracing: headers, samplers, settings, encodings, the queue before the collector."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from collector import Collector
from launcher.tracing import is_asked_for
from launcher.tracing.context import TraceContext, parse_jaeger, parse_traceparent
from launcher.tracing.exporter import Exporter
from launcher.tracing.prediction import caller_tags, exception_type
from launcher.tracing.propagators import Propagators, parse_names
from launcher.tracing.protobuf import REQUEST, encode
from launcher.tracing.sampler import NAMES, make_sampler
from launcher.tracing.settings import load
from launcher.tracing.transport import Transport
from launcher.tracing.untraced import pass_on
from support import until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, 1)),
        (f" 00-{TRACE}-{SPAN}-00 ", TraceContext(TRACE, SPAN, 0)),
        (f"00-{TRACE}-{SPAN}-ff", TraceContext(TRACE, SPAN, 3)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TraceContext(TRACE, SPAN, 1)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE}-{SPAN}-01\n", TraceContext(TRACE, SPAN, 1)),
        ("", None),
    ],
)
def test_parse_traceparent_takes_what_w3c_describes(text: str, expected: Any) -> None:
    assert parse_traceparent(text) == expected


def test_a_tracestate_that_is_none_does_not_harm_its_parent() -> None:
    for state, kept in [("a=b", "a=b"), ("a=b\r\nx: y", ""), ("a=\u20ac", ""), ("a" * 513, "")]:
        context = parse_traceparent(f"00-{TRACE}-{SPAN}-01", state)
        assert context is not None and context.state == kept and ("tracestate" in context.carrier) == bool(kept)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{TRACE}:{SPAN}:0:1", TraceContext(TRACE, SPAN, 1)),
        ("ABC:1:0:0", TraceContext("abc".zfill(32), "1".zfill(16), 0)),
        (f"{TRACE}:{SPAN}:0:3:more", TraceContext(TRACE, SPAN, 1)),
        (f"0:{SPAN}:0:1", None),
        ("nonsense", None),
    ],
)
def test_parse_jaeger_takes_what_cog_takes(text: str, expected: Any) -> None:
    assert parse_jaeger(text) == expected


HALF = TRACE[16:]
MULTI = {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}


@pytest.mark.parametrize(
    ("names", "headers", "expected"),
    [
        ("b3", {"b3": f"{TRACE}-{SPAN}-1"}, TraceContext(TRACE, SPAN, 1)),
        ("b3", {"b3": f"{TRACE}-{SPAN}-d-{SPAN}"}, TraceContext(TRACE, SPAN, 1)),
        ("b3", {"b3": f"{TRACE}-{SPAN}-0"}, TraceContext(TRACE, SPAN, 0)),
        ("b3", {"b3": f"{TRACE}-{SPAN}"}, TraceContext(TRACE, SPAN, 0)),
        ("b3", {"b3": f"{HALF}-{SPAN}-1"}, TraceContext(HALF.zfill(32), SPAN, 1)),
        ("b3", {"b3": "0"}, None),
        ("b3", {"b3": f"{'0' * 32}-{SPAN}-1"}, None),
        ("b3", {"b3": f"{TRACE}-{SPAN}-1\r\nx: y"}, None),
        ("b3", {**MULTI, "x-b3-sampled": "1"}, TraceContext(TRACE, SPAN, 1)),
        ("b3multi", {**MULTI, "x-b3-sampled": "true"}, TraceContext(TRACE, SPAN, 1)),
        ("b3multi", {**MULTI, "x-b3-flags": "1"}, TraceContext(TRACE, SPAN, 1)),
        ("b3multi", {**MULTI, "x-b3-sampled": "0"}, TraceContext(TRACE, SPAN, 0)),
        ("b3multi", {"x-b3-traceid": TRACE, "x-b3-spanid": TRACE}, None),
        ("b3multi", {"x-b3-traceid": TRACE}, None),
        ("jaeger", {"uber-trace-id": f"{TRACE}:{SPAN}:0:1"}, TraceContext(TRACE, SPAN, 1)),
        ("b3", {"traceparent": f"00-{TRACE}-{SPAN}-01"}, None),
        ("tracecontext", {"b3": f"{TRACE}-{SPAN}-1"}, None),
        ("none", {"traceparent": f"00-{TRACE}-{SPAN}-01", "b3": f"{TRACE}-{SPAN}-1"}, None),
        ("tracecontext,b3", {"traceparent": f"00-{HALF}{HALF}-{SPAN}-01", "b3": f"{TRACE}-{SPAN}-0"}, TraceContext(TRACE, SPAN, 0)),
        ("b3,tracecontext", {"traceparent": f"00-{TRACE}-{SPAN}-01", "b3": f"{HALF}-{SPAN}-0"}, TraceContext(TRACE, SPAN, 1)),
        ("", {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "user=a;p=1,k=v"}, TraceContext(TRACE, SPAN, 1, "", "user=a;p=1,k=v")),
        ("", {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "user=a\r\nx: y"}, TraceContext(TRACE, SPAN, 1)),
        ("", {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "k=" + "v" * 8192}, TraceContext(TRACE, SPAN, 1)),
        ("", {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": ",".join(["k=v"] * 65)}, TraceContext(TRACE, SPAN, 1)),
        ("tracecontext", {"traceparent": f"00-{TRACE}-{SPAN}-01", "baggage": "user=a"}, TraceContext(TRACE, SPAN, 1)),
        ("", {"baggage": "user=a"}, None),
    ],
)
def test_propagators_read_their_own_headers(names: str, headers: dict[str, str], expected: Any) -> None:
    assert Propagators(parse_names(names)).extract(headers.get) == expected


def test_propagators_write_what_they_read() -> None:
    for names in ("tracecontext,baggage", "b3", "b3multi", "jaeger", " B3multi , baggage ,tracecontext"):
        propagators = Propagators(parse_names(names))
        for flags in (0, 1):
            baggage = "k=v" if "baggage" in names else ""
            context = TraceContext(TRACE, SPAN, flags, "", baggage)
            sent = propagators.inject(context)
            assert propagators.extract(sent.get) == context and ("traceparent" in sent) == ("tracecontext" in names)
    assert Propagators(("none",)).inject(TraceContext(TRACE, SPAN)) == {}


def test_samplers_decide_as_the_specification_has_it() -> None:
    yes, no = TraceContext(TRACE, SPAN, 1), TraceContext(TRACE, SPAN, 0)
    table = {name: [make_sampler(name, 0.0)(parent, TRACE) for parent in (yes, no, None)] for name in NAMES}
    assert table == {
        "always_on": [True, True, True],
        "always_off": [False, False, False],
        "traceidratio": [False, False, False],
        "parentbased_always_on": [True, False, True],
        "parentbased_always_off": [True, False, False],
        "parentbased_traceidratio": [True, False, False],
    }
    ids = [random.Random(number).randbytes(16).hex() for number in range(2000)]
    half, all_of_them = make_sampler("traceidratio", 0.5), make_sampler("traceidratio", 1.0)
    assert 900 < sum(half(None, id) for id in ids) < 1100 and all(all_of_them(None, id) for id in ids)


URL = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_URL = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({URL: " "}, False),
        ({URL: "http://c"}, True),
        ({TRACES_URL: "http://c"}, True),
        ({URL: "http://c", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({URL: "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({URL: "http://c", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({URL: "http://c", "COG_TRACE_ENABLED": "no"}, False),
        ({URL: "http://c", "COG_TRACE_CONFIGURED": "false"}, False),
        ({"COG_TRACE_CONFIGURED": "true"}, False),
    ],
)
def test_an_endpoint_turns_tracing_on(env: dict[str, str], expected: bool) -> None:
    assert is_asked_for(env) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({URL: "http://c:4318"}, "http://c:4318/v1/traces"),
        ({URL: "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({URL: "https://c/otlp/?key=1"}, "https://c/otlp/v1/traces?key=1"),
        ({URL: "http://c/v1/traces"}, "http://c/v1/traces"),
        ({URL: "http://c", TRACES_URL: "http://d/else"}, "http://d/else"),
    ],
)
def test_the_endpoint_is_made_as_the_specification_has_it(env: dict[str, str], expected: str) -> None:
    assert load(env).endpoint == expected


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({URL: "collector:4318"}, URL),
        ({TRACES_URL: "ftp://c"}, TRACES_URL),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "port 4318"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "authorization hunter2"}, "entry 1 is none"),
        ({"OTEL_TRACES_SAMPLER": "sometimes"}, "unknown sampler sometimes"),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "between 0 and 1"),
        ({"OTEL_PROPAGATORS": "tracecontext,xray"}, "must be of tracecontext, b3, b3multi, jaeger, baggage, none, not xray"),
        ({"OTEL_PROPAGATORS": "none,b3"}, "none and something else"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "OTEL_BSP_SCHEDULE_DELAY"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "inf"}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
    ],
)
def test_settings_that_make_no_sense_are_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        load({URL: "http://c", **env})
    assert words in str(caught.value) and "hunter2" not in str(caught.value)


def test_settings_for_traces_go_before_those_for_all_signals() -> None:
    env = {URL: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2%2C3, c = 4"}
    env |= {"OTEL_RESOURCE_ATTRIBUTES": "service.name=x,k=v", "COG_TRACE_SAMPLER": "always_on", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500"}
    settings = load(env)
    assert settings.headers == {"b": "2,3", "c": "4"} and settings.resource == {"service.name": "x", "k": "v"}
    assert settings.sampler_name == "always_on" and settings.timeout == 1.5
    assert load({URL: "http://c"}).resource == {"service.name": "cog"}


def test_caller_tags_keep_within_cog_s_bounds() -> None:
    assert caller_tags({"trace.a.b-c_d": "x", "b": "y", "trace.": "z", "trace.a b": "z", "trace." + "n" * 65: "z"}) == {"caller.a.b-c_d": "x"}
    assert caller_tags({"trace.a": "\u20ac" * 100}) == {"caller.a": "\u20ac" * 42}
    assert list(caller_tags({f"trace.{number:02}": "x" for number in range(20)})) == [f"caller.{number:02}" for number in range(16)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ValueError: seven", "ValueError"),
        ("torch.OutOfMemoryError: CUDA", "torch.OutOfMemoryError"),
        ("KeyError", "KeyError"),
        ("Prediction timed out after 5 s", None),
        ("Input validation error: name: hunter2", None),
        ("", None),
    ],
)
def test_exception_type_takes_the_type_alone(text: str, expected: Any) -> None:
    assert exception_type(text) == expected


def test_encode_writes_protobuf_s_wire_format() -> None:
    values = [{"key": "k", "value": {"intValue": "-1"}}, {"key": "b", "value": {"boolValue": False}}]
    message = {"resourceSpans": [{"resource": {"attributes": values}, "unknown": 1}]}
    minus_one, falsehood = "0a 01 6b 12 0b 18" + "ff" * 9 + "01", "0a 01 62 12 02 10 00"
    assert encode(message, REQUEST) == bytes.fromhex(f"0a 1d 0a 1b 0a 10 {minus_one} 0a 07 {falsehood}")


@pytest.mark.interop
def test_protobuf_s_own_parser_reads_what_encode_writes() -> None:
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    attributes = [
        {"key": "text", "value": {"stringValue": "\u20ac" * 200}},
        {"key": "number", "value": {"intValue": str(-(2**63))}},
        {"key": "real", "value": {"doubleValue": 0.1}},
        {"key": "truth", "value": {"boolValue": False}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": ""}]}}},
    ]
    link = {"traceId": TRACE, "spanId": SPAN, "attributes": attributes}
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": SPAN,
        "traceState": "a=b",
        "name": "n",
        "kind": 3,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": str(2**64 - 1),
        "attributes": attributes,
        "events": [{"timeUnixNano": "1", "name": "e", "attributes": attributes}],
        "links": [link],
        "status": {"message": "m", "code": 2},
        "flags": 0x301,
    }
    message = {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"scope": {"name": "s", "version": "1"}, "spans": [span]}]}]}
    parsed = ExportTraceServiceRequest.FromString(encode(message, REQUEST))
    assert _hex_ids(MessageToDict(parsed, use_integers_for_enums=True)) == message


def _hex_ids(value: Any) -> Any:
    import base64

    if isinstance(value, list):
        return [_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: base64.b64decode(item).hex() if key.endswith("Id") else _hex_ids(item) for key, item in value.items()}


def test_a_full_queue_drops_and_counts_and_nobody_waits() -> None:
    taker = Collector()
    env = {**taker.env, "OTEL_BSP_MAX_QUEUE_SIZE": "5", "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    exporter = Exporter(load(env))
    for number in range(8):
        exporter.add("parent", "test", _span(f"s{number}"))
    assert exporter.counts == {"exported": 0, "dropped": 3}
    exporter.close(30)
    assert exporter.counts == {"exported": 5, "dropped": 3} and [span.name for span in taker.spans] == [f"s{n}" for n in range(5)]
    taker.server.shutdown()


def test_a_full_batch_goes_at_once() -> None:
    taker = Collector()
    exporter = Exporter(load({**taker.env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_BSP_SCHEDULE_DELAY": "600000"}))
    for number in range(2):
        exporter.add("parent", "test", _span(f"s{number}"))
    until(lambda: exporter.counts["exported"] == 2)
    assert len(taker.raw) == 1
    exporter.close(30)
    taker.server.shutdown()


@pytest.mark.parametrize("status", [400, 401, 500])
def test_what_the_collector_refuses_for_good_is_not_sent_again(status: int) -> None:
    taker = Collector(status)
    exporter = Exporter(load(taker.env))
    exporter.add("parent", "test", _span("s"))
    until(lambda: exporter.counts["dropped"] == 1)
    exporter.close(30)
    assert len(taker.paths) == 1
    taker.server.shutdown()


@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf"])
def test_a_span_that_cannot_be_encoded_costs_its_batch_alone(protocol: str) -> None:
    taker = Collector()
    taker._take = lambda *_: None  # type: ignore[method-assign]
    exporter = Exporter(load({**taker.env, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"}))
    exporter.add("worker", "test", {"name": object(), "startTimeUnixNano": "soon"})
    exporter.add("worker", "test", {})
    exporter.close(30)
    assert exporter.counts == {"exported": 1, "dropped": 1}
    taker.server.shutdown()


def test_close_waits_no_longer_than_it_is_told_to() -> None:
    taker, may_go_on = Collector(), threading.Event()
    taker._take = lambda *_: may_go_on.wait(60)  # type: ignore[method-assign]
    exporter = Exporter(load(taker.env))
    exporter.add("parent", "test", _span("s"))
    until(lambda: taker.paths)
    exporter.add("parent", "test", _span("late"))
    exporter.close(0.2)
    assert exporter.counts["exported"] == 0 and exporter.counts["dropped"] >= 1
    may_go_on.set()
    taker.server.shutdown()


def _span(name: str) -> dict[str, Any]:
    return {"traceId": TRACE, "spanId": SPAN, "name": name, "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}


def test_what_is_not_traced_passes_on_what_is_well_formed() -> None:
    for carrier in ({"traceparent": "nonsense"}, {"traceparent": f"00-{TRACE}-{SPAN}-01\r\nx: y"}, {}):
        assert pass_on(carrier).carrier == {}
    given = {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "a=b"}
    assert pass_on(given).carrier == given and not pass_on(given) and pass_on(given).child("x").carrier == given


@pytest.mark.parametrize(
    ("protocol", "answer", "expected"),
    [
        ("http/json", b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "full"}}', 2),
        ("http/json", b'{"partialSuccess": {}}', 0),
        ("http/json", b"no JSON", 0),
        ("http/protobuf", bytes.fromhex("0a 08 08 02 12 04") + b"full", 2),
        ("http/protobuf", bytes.fromhex("0a 03 08 ac 02"), 300),
        ("http/protobuf", bytes.fromhex("0a 04 12 02") + b"ok", 0),
        ("http/protobuf", b"\x0a", 0),
        ("http/protobuf", b"", 0),
        ("http/protobuf", b"<html>", 0),
    ],
)
def test_spans_that_the_collector_rejects_of_a_request_are_counted(protocol: str, answer: bytes, expected: int) -> None:
    outcome = Transport(load({URL: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}))._read(answer)
    assert outcome.rejected == expected and (outcome.problem is not None) == (expected > 0) and outcome.retry_after is None
