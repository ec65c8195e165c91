"""The ASGI application: its routes in one table, and what is common to all of them."""

from __future__ import annotations

import logging
import time
from typing import Any

from ..service import Service
from ..tracing.untraced import UNTRACED
from . import docs, health, metrics, models, oip, platforms, predictions, replicate
from .asgi import Exchange, HTTPError, Receive, Router, Scope, Send
from .direct import Direct
from .submission import refusal_of

log = logging.getLogger("layerwright.http")


class App:
    """What uvicorn calls for each request."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.router = Router()
        #: plain predictions do not come here: see its module
        self.direct = Direct(service.engine)
        for module in (predictions, models, health, docs, metrics, platforms, oip, replicate):
            module.routes(self.router, service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, {})
        started = time.perf_counter() if self.service.settings.access_log else 0.0
        try:
            handler, exchange.parameters = self.router.find(scope["method"], scope["path"])
            exchange.span = self._span(exchange)
            await handler(exchange)
        except Exception as error:
            answer = refusal_of(error)
            if answer is None:
                log.exception("Unexpected error in %s %s", scope["method"], scope["path"])
                answer = HTTPError(500, {"detail": "Internal Server Error"})
            exchange.span.refuse(answer.status)
            if not exchange.status:
                await exchange.json(answer.status, answer.body, answer.headers)
        finally:
            exchange.span.answer(exchange.status)
            if started:
                milliseconds = round((time.perf_counter() - started) * 1000, 2)
                extra = {"duration_ms": milliseconds, "trace_id": exchange.span.trace_id}
                log.info("%s %s", scope["method"], scope["path"], extra=extra)

    def _span(self, exchange: Exchange) -> Any:
        """Spans of a request that can make a prediction."""
        method, path = exchange.scope["method"], exchange.scope["path"]
        if method not in ("POST", "PUT"):
            return UNTRACED
        return self.service.tracer.request(method, lambda: self.router.template(path), exchange.header)
