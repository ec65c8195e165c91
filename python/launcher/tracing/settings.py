"""What the environment says about tracing: OpenTelemetry's variables, and Cog's."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from typing import Mapping

from . import ENDPOINTS, TRUE
from .propagators import Propagators, parse_names
from .sampler import Sampler, make_sampler

_PROTOCOLS = {"http/protobuf": "http/protobuf", "http": "http/protobuf", "http/json": "http/json"}


@dataclass(frozen=True)
class TracingSettings:
    """How spans are chosen and sent. Times are in seconds."""

    endpoint: str
    protocol: str
    #: of the exporter's requests; they may hold a token
    headers: Mapping[str, str]
    resource: Mapping[str, str]
    sampler_name: str
    sampler_ratio: float
    sampler: Sampler
    propagators: Propagators
    #: a header beside those of the propagators that names the parent, and its format
    header: str | None
    header_format: str
    is_compressed: bool = False
    timeout: float = 10.0
    certificate: str | None = None
    client_certificate: tuple[str, str | None] | None = None
    delay: float = 5.0
    batch_length: int = 512
    queue_length: int = 2048
    #: the image opted in, so the model's own spans are exported too
    is_configured: bool = False

    @property
    def starts_traces(self) -> bool:
        """A request without a trace context may be recorded."""
        return not self.sampler_name.endswith("off")


def load(env: Mapping[str, str] = os.environ) -> TracingSettings:
    """Read the variables.

    :raises ValueError: with the name of the variable that cannot be used
    """
    sampler = env.get("OTEL_TRACES_SAMPLER") or env.get("COG_TRACE_SAMPLER") or "parentbased_always_off"
    ratio = _number(env, 1.0, "OTEL_TRACES_SAMPLER_ARG", "COG_TRACE_SAMPLER_ARG")
    key = _otlp(env, "CLIENT_CERTIFICATE")
    return TracingSettings(
        endpoint=_endpoint(env),
        protocol=_protocol(env),
        headers=_pairs(_otlp(env, "HEADERS") or "", "OTEL_EXPORTER_OTLP_HEADERS"),
        resource=_resource(env),
        sampler_name=sampler,
        sampler_ratio=ratio,
        sampler=make_sampler(sampler, ratio),
        propagators=Propagators(parse_names(env.get("OTEL_PROPAGATORS") or "")),
        header=(env.get("COG_TRACE_HEADER") or "").strip().lower() or None,
        header_format=env.get("COG_TRACE_HEADER_FORMAT") or "w3c",
        is_compressed=(_otlp(env, "COMPRESSION") or "none") == "gzip",
        timeout=_number(env, 10_000, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT") / 1000,
        certificate=_otlp(env, "CERTIFICATE"),
        client_certificate=None if key is None else (key, _otlp(env, "CLIENT_KEY")),
        delay=_number(env, 5000, "OTEL_BSP_SCHEDULE_DELAY") / 1000,
        batch_length=max(1, int(_number(env, 512, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"))),
        queue_length=max(1, int(_number(env, 2048, "OTEL_BSP_MAX_QUEUE_SIZE"))),
        is_configured=env.get("COG_TRACE_CONFIGURED", "").lower() in TRUE,
    )


def _otlp(env: Mapping[str, str], name: str) -> str | None:
    """The variable for traces, else the one for all signals."""
    return env.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or env.get(f"OTEL_EXPORTER_OTLP_{name}") or None


def _endpoint(env: Mapping[str, str]) -> str:
    own = env.get(ENDPOINTS[0], "").strip()
    parts = urllib.parse.urlsplit(own or env.get(ENDPOINTS[1], "").strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{ENDPOINTS[0 if own else 1]} must be an http or https address")
    path = parts.path.rstrip("/")
    if own or path.endswith("/v1/traces"):
        return parts._replace(fragment="").geturl()
    return parts._replace(path=path + "/v1/traces", fragment="").geturl()


def _protocol(env: Mapping[str, str]) -> str:
    name = _otlp(env, "PROTOCOL") or "http/protobuf"
    if name not in _PROTOCOLS:
        more = "; gRPC is not spoken, collectors take HTTP on port 4318 where they take gRPC on 4317" if name == "grpc" else ""
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or http/json, not {name}{more}")
    return _PROTOCOLS[name]


def _resource(env: Mapping[str, str]) -> dict[str, str]:
    found = _pairs(env.get("OTEL_RESOURCE_ATTRIBUTES", ""), "OTEL_RESOURCE_ATTRIBUTES")
    return {"service.name": "cog", **found, **({"service.name": name} if (name := env.get("OTEL_SERVICE_NAME")) else {})}


def _pairs(text: str, variable: str) -> dict[str, str]:
    """``name=value,name=value``, the values percent-encoded (W3C Baggage); the message shows neither."""
    found = {}
    for number, part in enumerate(filter(None, map(str.strip, text.split(",")))):
        name, has_value, value = part.partition("=")
        if not has_value or not name.strip():
            raise ValueError(f"{variable} must be name=value pairs with commas between: entry {number + 1} is none")
        found[urllib.parse.unquote(name.strip())] = urllib.parse.unquote(value.strip())
    return found


def _number(env: Mapping[str, str], default: float, *names: str) -> float:
    name = next((name for name in names if env.get(name)), None)
    if name is None:
        return default
    try:
        number = float(env[name])
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} must be a number, not negative: {env[name]}")
    return number
