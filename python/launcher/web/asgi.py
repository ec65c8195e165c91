"""A router and a few helpers over ASGI; the server below it is uvicorn."""

from __future__ import annotations

import re
from typing import Any, Awaitable, Callable, Mapping

from pydantic_core import to_json

from ..tracing.untraced import UNTRACED

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class HTTPError(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body, self.headers = status, body, headers or {}


class Exchange:
    """A request and the way to answer it."""

    __slots__ = ("_headers", "parameters", "receive", "scope", "send", "span", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, parameters: dict[str, str]) -> None:
        self.scope, self.receive, self.send, self.parameters = scope, receive, send, parameters
        self._headers: dict[bytes, bytes] | None = None
        #: of the answer, once it has begun
        self.status = 0
        self.span: Any = UNTRACED

    def header(self, name: bytes) -> str | None:
        """A request header by its lower-case name."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """The query string's last value of each name."""
        from urllib.parse import parse_qsl

        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def body(self, limit: int) -> bytes:
        """The whole request body.

        :raises HTTPError: 413 beyond the limit
        """
        length = self.header(b"content-length")
        if length is not None and int(length) > limit:
            raise HTTPError(413, {"detail": f"The body is larger than {limit} bytes"}, {"connection": "close"})
        message = await self.receive()
        data: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return data
        chunks, size = [data], len(data)
        while message.get("more_body"):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise HTTPError(400, {"detail": "The client went away"})
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise HTTPError(413, {"detail": f"The body is larger than {limit} bytes"}, {"connection": "close"})
        return b"".join(chunks)

    async def json(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON."""
        await self.bytes(status, to_json(value, inf_nan_mode="null"), b"application/json", headers)

    async def bytes(
        self, status: int, body: bytes, kind: bytes = b"text/plain; charset=utf-8", headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with bytes of a media type."""
        lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        if headers:
            lines += [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        self.status = status
        await self.send({"type": "http.response.start", "status": status, "headers": lines})
        await self.send({"type": "http.response.body", "body": body})

    async def start_stream(self, kind: bytes = b"text/event-stream") -> None:
        """Begin an answer of unknown length."""
        headers = [(b"content-type", kind), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        self.status = 200
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def chunk(self, data: bytes, is_last: bool = False) -> None:
        """A piece of a streamed answer."""
        await self.send({"type": "http.response.body", "body": data, "more_body": not is_last})


Handler = Callable[[Exchange], Awaitable[None]]


class Router:
    """Paths to handlers; ``{name}`` matches one segment. Unknown methods get 405 with ``Allow``."""

    def __init__(self) -> None:
        self._static: dict[str, dict[str, Handler]] = {}
        self._patterns: list[tuple[re.Pattern[str], str, dict[str, Handler]]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Register a handler; a later one for the same method and path is ignored."""
        if "{" not in path:
            self._static.setdefault(path, {}).setdefault(method, handler)
            return
        pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)) + r"\Z")
        for known, _, methods in self._patterns:
            if known.pattern == pattern.pattern:
                methods.setdefault(method, handler)
                return
        self._patterns.append((pattern, path, {method: handler}))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """The handler of a request and the path's parameters.

        :raises HTTPError: 404 or 405
        """
        methods, parameters = self._static.get(path), {}
        if methods is None:
            for pattern, _, candidates in self._patterns:
                match = pattern.match(path)
                if match is not None:
                    methods, parameters = candidates, match.groupdict()
                    break
            else:
                raise HTTPError(404, {"detail": "Not Found"})
        handler = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if handler is None:
            allowed = {*methods, "HEAD"} if "GET" in methods else methods
            raise HTTPError(405, {"detail": "Method Not Allowed"}, {"allow": ", ".join(sorted(allowed))})
        return handler, parameters

    def template(self, path: str) -> str:
        """The path as it was registered, of one that has a handler."""
        return path if path in self._static else next(name for pattern, name, _ in self._patterns if pattern.match(path))
