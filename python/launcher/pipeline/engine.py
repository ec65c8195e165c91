"""The engine of a pipeline: takes predictions as that of a model does, and has the steps done by those of its models."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Mapping

from ..engine import Engine
from ..histogram import Histogram
from ..models.together import Together
from ..prediction import Prediction
from ..runs import Runs
from ..schema import Schema
from ..settings import Settings
from .plan import Plan
from .run import Run, StepCanceled, StepFailed
from .workspace import Workspace, has_files

log = logging.getLogger("layerwright.pipeline")


class Pipeline(Runs):
    """Runs predictions through several models.

    As many run at once as its models have slots together: each of them can be busy with another one. A prediction that
    was let in here waits for the models of its steps however much waits for those, so it is never refused half way; and
    it holds a slot of a model only while that works, so pipelines that share models cannot wait for each other.
    """

    def __init__(self, plan: Plan, engines: Mapping[str, Engine], settings: Settings, schema: Schema, files: Any, tracer: Any) -> None:
        """:param engines: of the models that the plan uses"""
        super().__init__(settings, schema, files, tracer)
        self.plan, self.engines = plan, engines
        self.model = Together(engines)
        self.model.changed.add(self._model_changed)
        #: time in each step, by its name
        self.step_seconds = {step.name: Histogram() for stage in plan.stages for step in stage}
        self._runs: dict[str, tuple[Run, asyncio.Task[None]]] = {}

    @property
    def slots(self) -> int:  # type: ignore[override]
        """Predictions at a time."""
        return sum(engine.slots for engine in self.engines.values())

    def on_unavailable(self, message: str) -> None:
        """Fail all that runs and waits."""
        runs, self._runs = self._runs, {}
        super().on_unavailable(message)
        for _, task in runs.values():
            task.cancel()

    def _why(self, state: str) -> str:
        return f"Setup failed: {self.model.blame} is not available" if state == "failed" else super()._why(state)

    def _model_changed(self) -> None:
        if self.model.state == "ready":
            self._pump()
        elif self.model.state == "failed":
            waiting = [*self.queue, *(one for one in self.preparing.values() if one.started_at is None)]
            self.queue.clear()
            for prediction in waiting:
                self.preparing.pop(prediction.id, None)
                self._end(prediction, "failed", error=self._why("failed"))

    def _pump(self) -> None:
        while self.queue and self.model.state == "ready" and len(self.running) < self.slots:
            self._begin(self.queue.popleft())

    def _begin(self, prediction: Prediction) -> None:
        self.running[prediction.id] = prediction
        prediction.start()
        workspace = Workspace(self.files, prediction)

        def pass_on(value: Any) -> None:
            if not prediction.is_terminal:
                self._output(prediction, value, has_files(value))

        values = {**self._defaults(), **workspace.mark_inputs(self.schema)}
        run = Run(self.plan, self.engines, prediction, workspace, values, pass_on)
        self._runs[prediction.id] = run, self.start(self._run(run, prediction))
        if self.settings.predict_timeout is not None:
            asyncio.get_running_loop().call_later(self.settings.predict_timeout, self._predict_timeout, prediction)

    def _defaults(self) -> dict[str, Any]:
        """Of the pipeline's own inputs; those that are files are in the input by now."""
        properties = self.schema.properties.items()
        defaults = {name: node["default"] for name, node in properties if name not in self.schema.file_fields and "default" in node}
        return {name: value for name, value in defaults.items() if value is not None}

    async def _run(self, run: Run, prediction: Prediction) -> None:
        status, value = await self._settle(run, prediction)
        seconds = time.time() - (prediction.started_at or prediction.created_at)
        self.running.pop(prediction.id, None)
        self._runs.pop(prediction.id, None)
        self._pump()
        for name, values in prediction.metrics.get("steps", {}).items():
            if "predict_time" in values:
                self.step_seconds[name].observe(values["predict_time"])
        if status == "succeeded" and prediction.streamed and isinstance(value, list):
            status, value = "streamed", None  # it was sent already
        prediction.left_model_at = time.time()
        self._tell_freed()
        await self._done_later(prediction, prediction.tail, status, value, seconds)

    async def _settle(self, run: Run, prediction: Prediction) -> tuple[str, Any]:
        """How it ends, and its output or error."""
        try:
            return "succeeded", await run.result()
        except StepCanceled:
            return "canceled", None
        except StepFailed as error:
            prediction.is_crash = error.is_crash
            return "failed", error.reason
        except asyncio.CancelledError:
            return "canceled", None  # or it has ended already, by a timeout or with the server
        except Exception:
            log.exception("Unexpected error in prediction %s", prediction.id)
            return "failed", "Internal error of the pipeline"

    def _interrupt(self, prediction: Prediction) -> None:
        """Cancel the steps that run; each has 0.8 s to end by itself."""

        def cancel() -> None:
            found = self._runs.get(prediction.id)
            if found is not None:
                found[1].cancel()

        # Not at once: a task that has not begun would never be told.
        asyncio.get_running_loop().call_soon(cancel)

    def _predict_timeout(self, prediction: Prediction) -> None:
        if self.running.get(prediction.id) is prediction and not prediction.is_terminal:
            run, _ = self._runs[prediction.id]
            where = ", ".join(step.name for step in run.active)
            text = f"Prediction timed out after {self.settings.predict_timeout:g} s"
            self._end(prediction, "failed", error=f"{text}, in step {where}" if where else text)
            self._interrupt(prediction)
