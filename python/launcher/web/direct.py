"""The short way of a plain prediction: one request in, one answer out, with no task and no ASGI messages between.

A POST to ``/predictions`` that asks for nothing but its result makes up nearly all traffic, and ASGI's task, events
and messages cost it more than everything else together. What it says is the same as on the long way, because both call
the same functions; whatever is not plain (``Prefer``, server-sent events, webhooks, trace context, a large or chunked
body, an access log) takes the long way.
"""

from __future__ import annotations

import logging
from typing import Any, Mapping, Protocol

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..prediction import Prediction
from ..runs import Runs
from .asgi import HTTPError
from .submission import body_of, is_json, refusal_of, submit

log = logging.getLogger("layerwright.http")

#: headers that ask for more than an answer
_LONG = frozenset((b"prefer", b"expect", b"upgrade", b"transfer-encoding", b"traceparent", b"content-encoding"))
#: a body that is larger needs flow control
BODY_LIMIT = 65536


class Direct:
    """Which requests go the short way, and their handling."""

    path = b"/predictions"

    def __init__(self, engine: Runs) -> None:
        self.engine = engine
        self.is_on = not engine.settings.access_log and not engine.tracer.starts_traces and engine.settings.body_limit >= BODY_LIMIT

    def takes(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the headers of a POST are those of a plain request."""
        is_plain = False
        for name, value in headers:
            if name == b"content-type":
                is_plain = value == b"application/json" or is_json(value.decode("latin-1"))
            elif name in _LONG or (name == b"accept" and b"event-stream" in value):
                return False
            elif name == b"content-length" and (len(value) > 5 or int(value) > BODY_LIMIT):
                return False
        return is_plain and self.is_on

    def start(self, cycle: DirectCycle, body: bytes) -> bool:
        """Begin; False when the body turns out to want the long way."""
        try:
            request = self.engine.schema.parse(body)
            if request.get("webhook") is not None:
                return False
            prediction = Prediction(request)
            prediction.listeners.append(cycle.listen)
            cycle.prediction = prediction
            submit(self.engine, prediction)
        except Exception as error:
            answer = refusal_of(error)
            if answer is None:
                log.exception("Unexpected error in POST /predictions")
                answer = HTTPError(500, {"detail": "Internal Server Error"})
            cycle.write(answer.status, to_json(answer.body, inf_nan_mode="null"), answer.headers)
        return True


class Connection(Protocol):
    """What an exchange needs of the protocol that it arrived by."""

    transport: Any

    def common_headers(self) -> bytes:
        """Header lines that every answer has."""

    def on_response_complete(self) -> None:
        """The answer was written."""


class DirectCycle:
    """One exchange of the short way; it has those members of uvicorn's own cycle that uvicorn's protocol uses."""

    __slots__ = ("disconnected", "engine", "keep_alive", "prediction", "protocol", "response_complete")

    def __init__(self, protocol: Connection, engine: Runs, keep_alive: bool) -> None:
        self.protocol, self.engine, self.keep_alive = protocol, engine, keep_alive
        self.prediction: Prediction | None = None
        self.response_complete = False
        self.disconnected = False

    @property
    def message_event(self) -> DirectCycle:
        """Itself: the protocol sets it when the client hangs up."""
        return self

    def set(self) -> None:
        """The client went away: nobody wants the result."""
        if self.disconnected and self.prediction is not None and not self.prediction.is_terminal:
            self.engine.cancel(self.prediction.id)

    def listen(self, event: str, data: Any) -> None:
        """Answer when the prediction has ended."""
        if event == "completed" and self.prediction is not None:
            self.write(200, body_of(self.prediction))

    def write(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Write the whole answer at once."""
        transport = self.protocol.transport
        if self.disconnected or self.response_complete or transport.is_closing():
            return
        lines = [STATUS_LINE[status], self.protocol.common_headers()]
        if headers:
            lines += [f"{key}: {value}\r\n".encode("latin-1") for key, value in headers.items()]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        lines.append(body)
        transport.write(b"".join(lines))
        self.response_complete = True
        if not self.keep_alive:
            transport.close()
        self.protocol.on_response_complete()
