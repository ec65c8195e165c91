"""Parts of the launcher that need no process to be tried."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from typing import Any

import pytest
from launcher.batching import Batching
from launcher.histogram import Histogram
from launcher.history import History
from launcher.prediction import Prediction
from launcher.process import ModelProcess
from launcher.settings import Settings
from launcher.supervisor import Supervisor
from support import until


def ended(id: str, seconds_ago: float = 0.0) -> Prediction:
    prediction = Prediction({"input": {}, "id": id})
    prediction.finish("succeeded")
    prediction.completed_at = time.time() - seconds_ago
    return prediction


def test_history_keeps_the_last_ones() -> None:
    history = History(2, 3600)
    for id in ("a", "b", "c"):
        history.add(ended(id))
    assert [one.id for one in history.all()] == ["b", "c"]
    assert history.find("a") is None


def test_history_forgets_what_ended_long_ago() -> None:
    history = History(10, 60)
    history.add(ended("old", 61))
    history.add(ended("new"))
    assert history.find("old") is None
    assert [one.id for one in history.all()] == ["new"]


def test_history_discards_an_id_that_begins_again() -> None:
    history = History(10, 60)
    history.add(ended("a"))
    history.discard("a")
    history.discard("never there")
    assert history.all() == []


def busy(size: int = 4, wait: float = 100.0) -> Batching:
    batching = Batching(size, wait)
    for _ in range(3):
        batching.note_arrival()
    return batching


def test_a_batch_waits_while_others_are_likely_to_come() -> None:
    assert 90 < busy().delay(1, time.time()) <= 100


@pytest.mark.parametrize("length, age", [(4, 0.0), (5, 0.0), (1, 101.0)])
def test_a_batch_goes_when_it_is_full_or_has_waited(length: int, age: float) -> None:
    assert busy().delay(length, time.time() - age) == 0


def test_a_batch_goes_when_nobody_else_comes_in_that_time() -> None:
    assert Batching(4, 0.01).delay(1, time.time()) == 0


def test_histogram_counts_cumulative_bounds_and_the_mean() -> None:
    histogram = Histogram()
    assert histogram.mean == 0
    for seconds in (0.001, 0.1, 2000.0):
        histogram.observe(seconds)
    assert (histogram.counts[0], histogram.counts[4], histogram.counts[-1]) == (1, 1, 1)
    assert histogram.mean == pytest.approx(2000.101 / 3)


def open_files() -> set[tuple[str, str]]:
    """Number and target of everything this process holds open, without the folder that is read for it."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc to count open files in")
def test_a_process_that_cannot_start_leaves_nothing_open() -> None:
    before = open_files()
    with pytest.raises(OSError):
        ModelProcess("/there/is/no/python", "/", "predict.py:Predictor")
    until(lambda: open_files() <= before)  # what an earlier test's thread opens or closes in between is no matter


class Asked:
    """A process that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[Any] = []

    def control(self, payload: bytes) -> None:
        self.frames.append(json.loads(payload))


def test_healthchecks_share_the_one_that_runs_and_no_other() -> None:
    async def check() -> None:
        process: Any = Asked()
        supervisor = Supervisor(Settings(), "", None, None, is_lazy=False)  # type: ignore[arg-type]
        supervisor.process, supervisor.state, supervisor.facts = process, "ready", {"has_healthcheck": True}

        def ask() -> "asyncio.Task[str | None]":
            return asyncio.get_running_loop().create_task(supervisor.healthcheck())

        first, gone, second = ask(), ask(), ask()
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        assert process.frames == [["health", 1]]
        supervisor.take(["health", 1, "ill"])
        later = ask()  # the answer has come, though nobody has heard it yet
        assert [await first, await second] == ["ill", "ill"]
        assert process.frames == [["health", 1], ["health", 2]]
        supervisor.take(["health", 1, "too late"])
        supervisor.take(["health", 2, None])
        assert await later is None

    asyncio.run(check())
