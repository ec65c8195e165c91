"""Several models seen as one: what holds for all of them."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Mapping

from ..engine import Engine

#: what holds for all when it holds for one, the worst first
_STATES = ("failed", "starting", "restarting")


class Together:
    """Has what others ask of a ``Supervisor``; the processes are those of the models, and end with them."""

    process = None

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._models = {name: engine.model for name, engine in engines.items()}
        self._is_retired = False
        #: called when the state of one changes
        self.changed: set[Callable[[], None]] = set()
        for model in self._models.values():
            model.changed.add(self._notify)

    @property
    def state(self) -> str:
        """That of the one that is worst off."""
        states = {model.state for model in self._models.values()}
        if self._is_retired or "stopped" in states:
            return "stopped"
        return next((state for state in _STATES if state in states), "ready")

    @property
    def blame(self) -> str:
        """The models that failed, by name."""
        return ", ".join(name for name, model in self._models.items() if model.state == "failed")

    @property
    def setup(self) -> dict[str, Any]:
        """From the beginning of the first setup to the end of the last one."""
        setups = [model.setup for model in self._models.values()]
        statuses = [setup["status"] for setup in setups]
        whole = {"started_at": min(setup["started_at"] for setup in setups)}
        whole["status"] = next((status for status in ("failed", "starting") if status in statuses), "succeeded")
        ends = [setup["completed_at"] for setup in setups if "completed_at" in setup]
        return {**whole, "completed_at": max(ends)} if len(ends) == len(setups) else whole

    @property
    def setup_logs(self) -> list[str]:
        """All lines, each with the name of its model before it."""
        logs = {name: "".join(model.setup_logs) for name, model in self._models.items()}
        return [f"[{name}] {line}\n" for name, text in logs.items() for line in text.splitlines()]

    @property
    def facts(self) -> dict[str, Any]:
        """Of their interpreter, which is the same."""
        return next((model.facts for model in self._models.values() if model.facts), {})

    @property
    def restarts(self) -> int:
        """Processes that died."""
        return sum(model.restarts for model in self._models.values())

    async def healthcheck(self) -> str | None:
        """The first text of a failing ``healthcheck()``, with the name of its model."""
        errors = await asyncio.gather(*(model.healthcheck() for model in self._models.values()))
        return next((f"{name}: {error}" for name, error in zip(self._models, errors) if error is not None), None)

    def wake(self) -> None:
        """Nothing: none of them is lazy."""

    def retire(self) -> None:
        """Count as stopped; the models themselves are retired one by one."""
        self._is_retired = True

    async def end(self, *, is_clean: bool) -> None:
        """Nothing: the processes are ended one by one."""

    def _notify(self) -> None:
        for callback in tuple(self.changed):
            callback()
