"""OTLP over HTTP: one request with spans, and what the collector made of it."""

from __future__ import annotations

import gzip
import http.client
import ssl
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from .protobuf import REQUEST, encode
from .settings import TracingSettings

#: OTLP/HTTP, "Retryable Response Codes"
_RETRY_STATUSES = frozenset((429, 502, 503, 504))
#: of an answer, in bytes; more of it is not read
_ANSWER = 65536


class Outcome(NamedTuple):
    """What became of a request."""

    #: why it failed, or in part
    problem: str | None = None
    #: after how many seconds it may be sent again; None when it may not
    retry_after: float | None = None
    #: spans that the collector did not want, of a request that it took
    rejected: int = 0


class Transport:
    """Sends requests to one collector; thread-safe."""

    def __init__(self, settings: TracingSettings) -> None:
        """:raises OSError: when a certificate cannot be read"""
        self._settings = settings
        self._is_json = settings.protocol == "http/json"
        kind = "application/json" if self._is_json else "application/x-protobuf"
        coding = {"Content-Encoding": "gzip"} if settings.is_compressed else {}
        agent = {"User-Agent": "OTel-OTLP-Exporter-layerwright"}
        self._headers = {**agent, **settings.headers, "Content-Type": kind, **coding}
        self._opener = _make_opener(settings)

    def encode(self, message: dict[str, Any]) -> bytes:
        """The body of a request, ExportTraceServiceRequest as OTLP/JSON has it."""
        body = to_json(message) if self._is_json else encode(message, REQUEST)
        return gzip.compress(body, 1) if self._settings.is_compressed else body

    def post(self, body: bytes, timeout: float) -> Outcome:
        """Send it once."""
        request = urllib.request.Request(self._settings.endpoint, body, self._headers)  # noqa: S310 - checked by the settings
        try:
            with self._opener.open(request, timeout=timeout) as response:
                return self._read(response.read(_ANSWER))
        except urllib.error.HTTPError as error:
            after = error.headers.get("Retry-After") or ""
            is_for_now = error.code in _RETRY_STATUSES
            return Outcome(f"status {error.code}", (float(after) if after.isdigit() else 0.0) if is_for_now else None)
        except (OSError, http.client.HTTPException) as error:
            return Outcome(str(getattr(error, "reason", None) or error), 0.0)
        except ValueError as error:
            return Outcome(str(error))

    def _read(self, answer: bytes) -> Outcome:
        """A partial success says how many spans were rejected; an answer that says nothing took them all."""
        try:
            rejected = int(from_json(answer)["partialSuccess"]["rejectedSpans"]) if self._is_json else _rejected_spans(answer)
        except (ValueError, KeyError, TypeError, IndexError):
            rejected = 0
        return Outcome("some spans were rejected", None, rejected) if rejected > 0 else Outcome()


def _rejected_spans(answer: bytes) -> int:
    """The first field of the first field of ExportTraceServiceResponse: ``partial_success.rejected_spans``."""
    if answer[:1] != b"\x0a":
        return 0
    start = 1
    while answer[start] & 0x80:  # the size of the message
        start += 1
    value = shift = 0
    if answer[start + 1 : start + 2] == b"\x08":
        for byte in answer[start + 2 : start + 12]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
    return 0


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
