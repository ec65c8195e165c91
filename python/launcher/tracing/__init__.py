"""Traces as OpenTelemetry has them: spans of requests, predictions, setups and deliveries, exported by OTLP over HTTP.

Off unless an endpoint is set (``settings``), and then only ``untraced`` is imported. Nothing here decides whether a
prediction succeeds: spans that cannot be sent are counted and forgotten.
"""

from __future__ import annotations

from typing import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no")


def is_asked_for(env: Mapping[str, str]) -> bool:
    """Whether there is an endpoint, and nothing that turns tracing off."""
    if not any(env.get(name, "").strip() for name in ENDPOINTS) or env.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    is_off = env.get("COG_TRACE_ENABLED", "").lower() in FALSE or env.get("COG_TRACE_CONFIGURED", "").lower() in FALSE
    return not is_off and env.get("OTEL_SDK_DISABLED", "").lower() not in TRUE
