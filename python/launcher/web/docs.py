"""``/docs``: one page without foreign resources: a form made from the schema, files, streaming, the API in short."""

from __future__ import annotations

import os

from ..service import Service
from .asgi import Exchange, Router

_PAGE = os.path.join(os.path.dirname(__file__), "docs.html")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data: http: https:; media-src data: http: https:; base-uri 'none'; form-action 'none'"


def routes(router: Router, service: Service) -> None:
    """``/docs``."""

    async def docs(exchange: Exchange) -> None:
        with open(_PAGE, "rb") as source:
            page = source.read()
        headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
        await exchange.bytes(200, page, b"text/html; charset=utf-8", headers)

    router.add("GET", "/docs", docs)
