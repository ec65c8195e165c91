"""What takes predictions in this image, by name."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any, Mapping

from ..engine import Engine
from ..files import Files
from ..process import Reaper
from ..runs import Runs
from ..schema import Schema
from ..settings import Settings, SettingsError


class Models:
    """The engines of all models and pipelines; of one model in most images, which then has no name.

    :param pipelines: each a ``Pipeline``, which images with one model do not load
    :param whole: what holds for all models together, as a ``Supervisor`` has it
    """

    def __init__(self, engines: Mapping[str, Engine], pipelines: Mapping[str, Any], default: str, whole: Any) -> None:
        self.engines, self.pipelines, self.default_name, self.whole = engines, pipelines, default, whole
        #: by name; empty where there is one model
        self.named: dict[str, Runs] = {**engines, **pipelines} if default else {}
        #: what ``/predictions``, the queue and the platforms' routes serve
        self.default: Runs = self.named[default] if default else engines[""]

    @classmethod
    def of_one(cls, engine: Engine) -> "Models":
        """One model without a name."""
        return cls({"": engine}, {}, "", engine.model)

    @property
    def everything(self) -> list[Runs]:
        """Pipelines first, since they need the models to finish."""
        return [*self.pipelines.values(), *self.engines.values()]

    @property
    def take_work(self) -> bool:
        """All models are set up, and the server stays."""
        return self.whole.state == "ready" and not self.default.is_draining

    def spawn(self) -> None:
        """Start all processes; usable before there is a loop.

        :raises SettingsError: when there is no such interpreter
        """
        for engine in self.engines.values():
            try:
                engine.model.spawn()
            except OSError as error:
                python = engine.settings.python
                raise SettingsError(f"Cannot start the model's interpreter {python}: {error.strerror}") from None

    async def attach(self) -> None:
        """Listen to the processes."""
        # First watched, all of them: a turn of the loop may collect one.
        for listening in [engine.model.attach() for engine in self.engines.values()]:
            await listening

    def drain(self) -> None:
        """Take nothing more; connections that are kept alive go on asking."""
        for one in self.everything:
            one.is_draining = True

    async def stop(self, grace: float) -> bool:
        """Finish what was taken, within the grace, and end the processes; False when work was cut off."""
        deadline = time.monotonic() + grace
        clean = await asyncio.gather(*(pipeline.stop(grace) for pipeline in self.pipelines.values()))
        rest = max(0.0, deadline - time.monotonic())
        return all([*clean, *await asyncio.gather(*(engine.stop(rest) for engine in self.engines.values()))])


def load_models(settings: Settings, files: Files, reaper: Reaper, tracer: Any) -> Models:
    """Make what ``models.json`` lists.

    :raises SettingsError: when the file cannot be used
    """
    # Here: most images have one model.
    from ..pipeline.engine import Pipeline
    from .manifest import load_manifest
    from .together import Together

    try:
        manifest = load_manifest(str(settings.models_path))
    except (OSError, ValueError) as error:
        raise SettingsError(f"The list of models cannot be used: {settings.models_path}: {error}") from None
    if settings.batch_size > 1:
        raise SettingsError("LAYERWRIGHT_BATCH_SIZE is for an image with one model: it would hold for each of them")
    engines: dict[str, Engine] = {}
    for name, model in manifest.models.items():
        own = dataclasses.replace(settings, concurrency=model.concurrency or settings.concurrency)
        engines[name] = Engine(own, model.run, Schema(model.document), files, reaper, tracer=tracer, name=name)
    pipelines: dict[str, Runs] = {}
    for name, pipeline in manifest.pipelines.items():
        used = {one: engines[one] for one in pipeline.plan.models}
        pipelines[name] = Pipeline(pipeline.plan, used, settings, Schema(pipeline.document), files, tracer)
    return Models(engines, pipelines, manifest.default, Together(engines))
