"""uvicorn's HTTP protocol with a read size that suits small requests."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """Reads 64 KiB at a time: asyncio's 256 KiB are mapped and unmapped by malloc for every read, 20 us each."""

    def connection_made(self, transport: Any) -> None:
        """Take over a connection."""
        if hasattr(transport, "max_size"):
            transport.max_size = 65536
        super().connection_made(transport)
