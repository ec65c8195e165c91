"""One prediction's way through the steps of a pipeline."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Coroutine, Mapping, Sequence

from ..engine import Engine
from ..prediction import Prediction
from ..runs import Duplicate, NotReady
from ..schema import InvalidRequest
from .plan import Plan, Step
from .references import BadReference, present
from .reports import StepLog, StepMetrics
from .workspace import Workspace


class StepFailed(Exception):
    """A step that the pipeline cannot do without has failed."""

    def __init__(self, reason: str, *, is_crash: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_crash = reason, is_crash


class StepCanceled(StepFailed):
    """The model ended its run as canceled."""


class Run:
    """Calls the models of a plan in their order; to cancel the task that awaits ``result`` cancels what runs.

    :param values: the pipeline's input
    :param pass_on: takes what a step gives while it runs, when the pipeline gives just that
    """

    def __init__(
        self,
        plan: Plan,
        engines: Mapping[str, Engine],
        prediction: Prediction,
        workspace: Workspace,
        values: dict[str, Any],
        pass_on: Callable[[Any], None],
    ) -> None:
        self._plan, self._engines, self._prediction, self._workspace = plan, engines, prediction, workspace
        self._pass_on = pass_on
        #: what references see: the input, and the outputs of the steps that have ended
        self._scope: dict[str, Any] = {"input": values}
        #: steps that run now, in the order of their beginning
        self.active: list[Step] = []

    async def result(self) -> Any:
        """The pipeline's output.

        :raises StepFailed: with a reason that names the step
        """
        for stage in self._plan.stages:
            await _all([self._step(step) for step in stage])
        try:
            return present(self._plan.output.evaluate(self._scope))
        except BadReference as error:
            raise StepFailed(f"Output of the pipeline: {error}") from None

    async def _step(self, step: Step) -> None:
        metrics = StepMetrics(self._prediction, step.name)
        self.active.append(step)
        try:
            self._scope[step.name] = await self._output(step, metrics)
        except StepFailed as error:
            metrics.publish(error=error.reason)
            if not step.is_optional:
                error.reason = f"{step.title}: {error.reason}"
                raise
            self._scope[step.name] = None
        finally:
            self.active.remove(step)

    async def _output(self, step: Step, metrics: StepMetrics) -> Any:
        try:
            is_wanted = step.when is None or present(step.when.evaluate(self._scope))
            items = None if step.each is None else present(step.each.evaluate(self._scope))
        except BadReference as error:
            raise StepFailed(str(error)) from None
        if not is_wanted or (step.each is not None and items is None):
            metrics.publish(skipped=True)
            return None
        if step.each is None:
            output = await self._call(step, metrics, self._scope, f"{self._prediction.id}.{step.name}")
            metrics.publish()
            return output
        if not isinstance(items, list):
            raise StepFailed("`each` takes a list, and this is none")
        outputs = await self._each(step, metrics, items)
        metrics.values.setdefault("predict_time", 0.0)
        metrics.publish(count=len(items))
        return outputs

    async def _each(self, step: Step, metrics: StepMetrics, items: list[Any]) -> list[Any]:
        """Call the model for each item, for as many at a time as it takes."""
        outputs: list[Any] = [None] * len(items)
        numbers = iter(range(len(items)))

        async def work() -> None:
            for number in numbers:
                scope = {**self._scope, "item": items[number]}
                try:
                    outputs[number] = await self._call(step, metrics, scope, f"{self._prediction.id}.{step.name}.{number}")
                except StepFailed as error:
                    error.reason = f"item [{number}]: {error.reason}"
                    raise

        await _all([work() for _ in range(min(len(items), self._engines[step.model].slots))])
        return outputs

    async def _call(self, step: Step, metrics: StepMetrics, scope: Mapping[str, Any], id: str) -> Any:
        """Run one prediction of the model and give its output, whose files are in the workspace."""
        engine = self._engines[step.model]
        prediction = self._make(step, engine, scope, id)
        try:
            engine.submit(prediction)
        except NotReady as error:
            prediction.span.refuse(503)
            raise StepFailed(str(error)) from None
        except Duplicate:
            prediction.span.refuse(409)
            raise StepFailed(f"A prediction with its id is running: {id}") from None
        try:
            await asyncio.wait([prediction.done])
        finally:
            if not prediction.is_terminal:
                engine.cancel(id)
                await asyncio.wait([prediction.done])
            metrics.add(prediction.metrics)
        if prediction.status == "canceled":
            raise StepCanceled("Canceled")
        if prediction.status == "failed":
            raise StepFailed(prediction.error or "failed", is_crash=prediction.is_crash)
        return prediction.output

    def _make(self, step: Step, engine: Engine, scope: Mapping[str, Any], id: str) -> Prediction:
        try:
            values = self._workspace.stand_in(step.input.evaluate(scope))
            request = engine.schema.check({"input": values})
        except BadReference as error:
            raise StepFailed(str(error)) from None
        except InvalidRequest as error:
            raise StepFailed(f"Input validation error: {error}") from None
        prediction = Prediction({"input": request["input"], "context": self._prediction.context}, id)
        prediction.keeper = self._workspace
        self._prediction.span.follow_step(prediction, step.name, step.model)
        prediction.listeners.append(StepLog(self._prediction, step.name).listen)
        if self._plan.is_streamed(step):
            prediction.listeners.append(self._hear_output)
        return prediction

    def _hear_output(self, event: str, data: Any) -> None:
        if event == "output":
            self._pass_on(data["chunk"])


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once; the first failure, or a cancellation, cancels the rest and waits for that."""
    if len(work) == 1:
        return await work[0]
    if not work:
        return
    tasks = [asyncio.get_running_loop().create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()
