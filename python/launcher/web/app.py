"""The ASGI application: its routes in one table, and what is common to all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from ..schema import InvalidRequest
from . import docs, health, metrics, oip, platforms, predictions, replicate
from .asgi import Exchange, HTTPError, Receive, Router, Scope, Send

if TYPE_CHECKING:
    from ..service import Service

log = logging.getLogger("layerwright.http")


class App:
    """What uvicorn calls for each request."""

    def __init__(self, service: "Service") -> None:
        self.service = service
        self.router = Router()
        self.open = 0
        for module in (predictions, health, docs, metrics, platforms, oip, replicate):
            module.routes(self.router, service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, {})
        self.open += 1
        started = time.perf_counter() if self.service.settings.access_log else 0.0
        try:
            handler, exchange.parameters = self.router.find(scope["method"], scope["path"])
            await handler(exchange)
        except HTTPError as error:
            await self._answer(exchange, error.status, error.body, error.headers)
        except InvalidRequest as error:
            await self._answer(exchange, 400 if error.is_syntax else 422, {"detail": error.errors})
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("Unexpected error in %s %s", scope["method"], scope["path"])
            await self._answer(exchange, 500, {"detail": "Internal Server Error"})
        finally:
            self.open -= 1
            if started:
                milliseconds = round((time.perf_counter() - started) * 1000, 2)
                log.info("%s %s", scope["method"], scope["path"], extra={"duration_ms": milliseconds})

    async def _answer(self, exchange: Exchange, status: int, body: Any, headers: Any = None) -> None:
        if not exchange.is_answered:
            await exchange.json(status, body, headers)
