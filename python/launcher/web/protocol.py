"""uvicorn's HTTP protocol with a read size that suits small requests, and a short way for plain predictions."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .direct import BODY_LIMIT, Direct, DirectCycle


class Protocol(HttpToolsProtocol):
    """One connection."""

    #: the body of a request that goes the short way, while it arrives
    held: bytearray | None = None
    _common: tuple[Any, bytes] = (None, b"")

    def connection_made(self, transport: Any) -> None:
        """Take over a connection."""
        # 64 KiB a read: asyncio's 256 KiB are mapped and unmapped by malloc for every read, 20 us each.
        if hasattr(transport, "max_size"):
            transport.max_size = BODY_LIMIT
        self.direct: Direct = self.config.app.direct  # type: ignore[union-attr]
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer too, which uvicorn keeps after an error."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Choose the way."""
        is_free = self.cycle is None or self.cycle.response_complete
        if self.url == self.direct.path and is_free and self.parser.get_method() == b"POST" and self.direct.takes(self.headers):
            self.held = bytearray()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.held is None:
            super().on_body(body)
        else:
            self.held += body

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        held, self.held = self.held, None
        if held is None:
            super().on_message_complete()
            return
        is_kept = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        cycle = self.cycle = DirectCycle(self, self.direct.engine, is_kept)  # type: ignore[assignment]
        if not self.direct.start(cycle, bytes(held)):
            self.cycle = None  # type: ignore[assignment]
            super().on_headers_complete()
            super().on_body(bytes(held))
            super().on_message_complete()

    def common_headers(self) -> bytes:
        """What every answer of the short way says; uvicorn makes a new list when the date changes."""
        defaults = self.server_state.default_headers
        if self._common[0] is not defaults:
            lines = b"".join(b"%b: %b\r\n" % line for line in defaults)
            Protocol._common = defaults, lines + b"content-type: application/json\r\n"
        return self._common[1]

    # uvicorn starts and cancels a timer for each request; here each connection has one, which looks when it was last used.

    idle_since: float | None = None

    def _unset_keepalive_if_required(self) -> None:
        self.idle_since = None

    def on_response_complete(self) -> None:
        """Go on with what was pipelined, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long enough."""
        self.timeout_keep_alive_task = None
        now = self.loop.time()
        if self.idle_since is not None and now - self.idle_since >= self.timeout_keep_alive:
            super().timeout_keep_alive_handler()
            return
        rest = self.timeout_keep_alive if self.idle_since is None else self.idle_since + self.timeout_keep_alive - now
        self.timeout_keep_alive_task = self.loop.call_later(max(rest, 0.01), self.timeout_keep_alive_handler)
