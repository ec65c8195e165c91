"""What the HTTP server and the queue worker share: settings, engines, webhooks; and the wish to end."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from .engine import Engine
from .models.registry import Models
from .process import Reaper
from .schema import Schema
from .settings import Settings
from .webhooks import Webhooks


class Service:
    """One server's parts; ``serve`` puts them to work."""

    def __init__(self, settings: Settings, models: Models, document: dict[str, Any] | None, reaper: Reaper) -> None:
        self.settings, self.models, self.document, self.reaper = settings, models, document, reaper
        #: of what is served where nobody names a model
        self.engine = models.default
        self.tracer = self.engine.tracer
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
                self.engine.files,
                reaper,
                is_lazy=True,
                tracer=self.tracer,
            )

    def shut_down(self) -> None:
        """Stop taking work, finish what is there, leave."""
        self.stopping.set()
