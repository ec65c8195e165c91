"""What the HTTP server and the queue worker share: settings, engines, webhooks; and the wish to end."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from .engine import Engine
from .schema import Schema
from .settings import Settings
from .webhooks import Webhooks


class Service:
    """One server's parts; ``serve`` puts them to work."""

    def __init__(self, settings: Settings, engine: Engine, document: dict[str, Any] | None) -> None:
        self.settings, self.engine, self.document = settings, engine, document
        self.reaper, self.tracer = engine.model.reaper, engine.tracer
        self.webhooks = Webhooks(settings)
        self.trainer: Engine | None = None
        self.queues: list[Any] = []
        #: set when no more work is to be taken
        self.stopping = asyncio.Event()
        components = (document or {}).get("components", {}).get("schemas", {})
        if settings.train is not None and not settings.is_training and "TrainingInput" in components:
            # Trainings get a process of their own, started by the first of them.
            self.trainer = Engine(
                dataclasses.replace(settings, concurrency=1, batch_size=1),
                settings.train,
                Schema(document, "TrainingInput"),
                engine.files,
                engine.model.reaper,
                is_lazy=True,
                tracer=engine.tracer,
            )

    def shut_down(self) -> None:
        """Stop taking work, finish what is there, leave."""
        self.stopping.set()
