"""The queue of an image with several models: none waits for another, and no worker holds what it does not run."""

from __future__ import annotations

import json
import pathlib
import signal
from typing import Any

import pytest
from pipelines import manifest, pipeline, step, write_project
from support import LIMIT, TEXT, Server, until
from test_queue import STREAM, finished, state

pytestmark = pytest.mark.interop


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    both = pipeline(step("many", text="input.text", meets="input.meets"), output="many", inputs={"text": TEXT, "meets": {"type": "integer"}})
    steps = step("held", name="input.name"), step("echo", text="held")
    chain = pipeline(*steps, output="echo", inputs={"name": TEXT})
    return write_project(tmp_path, manifest("Echo", "Held", "Many", default="echo", both=both, chain=chain))


@pytest.fixture
def worker(project: pathlib.Path, start: Any, redis_server: Any) -> Any:
    redis_server.client.xgroup_create(STREAM, STREAM, id="0", mkstream=True)

    def run(**env: str) -> Server:
        settings = {"LAYERWRIGHT_QUEUE": redis_server.url, "LAYERWRIGHT_QUEUE_NAME": STREAM, "LOG_FORMAT": "console"}
        return start(project, STUB="", **{**settings, **env})

    return run


def submit(redis: Any, id: str, model: str, **fields: Any) -> str:
    beside = {"cancel_key": fields.pop("cancel_key")} if "cancel_key" in fields else {}
    redis.xadd(STREAM, {"value": json.dumps({"id": id, "model": model, "input": fields, **beside})})
    return id


def hold(redis: Any, *names: str) -> list[str]:
    return [submit(redis, name, "held", name=name) for name in names]


def holders(redis: Any) -> dict[str, tuple[str, int]]:
    """By job, the consumer that holds it, and how often it was delivered."""
    found = {}
    for one in redis.xpending_range(STREAM, STREAM, "-", "+", 100):
        for _, fields in redis.xrange(STREAM, one["message_id"], one["message_id"]):
            found[json.loads(fields["value"])["id"]] = (one["consumer"], one["times_delivered"])
    return found


ASIDE = ("waiting for held", 0)


def test_a_busy_model_s_jobs_wait_in_redis_and_those_of_others_run(worker: Any, redis_server: Any) -> None:
    redis = redis_server.client
    server = worker(LAYERWRIGHT_CONSUMER="one").wait()
    held = hold(redis, *(f"h{number}" for number in range(20)))
    echoed = [submit(redis, f"e{number}", "echo", text="a") for number in range(5)]
    for id in echoed:
        assert finished(redis, id)["output"] == "a!"
    assert holders(redis) == {"h0": ("one", 1), **dict.fromkeys(held[1:], ASIDE)}
    for id in held:
        server.hear(f"{id}-began")
        server.tell(f"{id}-may-end")
        assert finished(redis, id)["deliveries"] == 1
    starts = [state(redis, id)["started_at"] for id in held]
    assert starts == sorted(starts)
    assert until(lambda: redis.xlen(STREAM) == 0) and redis.xpending(STREAM, STREAM)["pending"] == 0


def test_another_worker_whose_model_is_free_takes_what_waits_for_it(worker: Any, redis_server: Any) -> None:
    redis = redis_server.client
    server = worker(LAYERWRIGHT_CONSUMER="one").wait()
    hold(redis, "first", "second", "third")
    until(lambda: holders(redis) == {"first": ("one", 1), "second": ASIDE, "third": ASIDE})
    worker(LAYERWRIGHT_CONSUMER="two").wait()
    server.hear("second-began")
    assert holders(redis) == {"first": ("one", 1), "second": ("two", 1), "third": ASIDE}
    for name in ("second", "third", "first"):
        server.tell(f"{name}-may-end")
        assert finished(redis, name)["deliveries"] == 1


@pytest.mark.parametrize("how", ["kill", "term"])
def test_what_waits_for_a_model_outlives_the_worker_that_read_it_uncounted(worker: Any, redis_server: Any, how: str) -> None:
    redis = redis_server.client
    server = worker(LAYERWRIGHT_MAX_DELIVERIES="1", LAYERWRIGHT_GRACE_SECONDS="0.2").wait()
    hold(redis, "first", "second")
    server.hear("first-began")
    until(lambda: holders(redis).get("second") == ASIDE)
    if how == "kill":
        server.crash()
    else:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(LIMIT)
        assert holders(redis) == {"first": ("returned", 0), "second": ASIDE}
    for name in ("first", "second"):
        server.tell(f"{name}-may-end")
    worker(LAYERWRIGHT_MAX_DELIVERIES="2")
    assert finished(redis, "second")["deliveries"] == 1
    result = finished(redis, "first")
    assert (result["status"], result["deliveries"]) == ("succeeded", 2 if how == "kill" else 1)


def test_a_dead_worker_s_job_waits_for_its_model_and_can_be_canceled_there(worker: Any, redis_server: Any) -> None:
    redis = redis_server.client
    server = worker(LAYERWRIGHT_CONSUMER="one").wait()
    hold(redis, "first", "second")
    server.hear("first-began")
    worker(LAYERWRIGHT_CONSUMER="two").wait()
    server.hear("second-began")
    server.crash()
    until(lambda: holders(redis)["first"] == ("waiting for held", 1))  # the one that failed, not this one
    redis.set(f"{STREAM}:p:first:cancel", "1")
    assert finished(redis, "first")["status"] == "canceled"
    server.tell("second-may-end")
    assert finished(redis, "second")["status"] == "succeeded"
    assert until(lambda: redis.xlen(STREAM) == 0)


@pytest.mark.parametrize("key", ["stop", None])
def test_a_job_that_waits_for_its_model_is_canceled(worker: Any, redis_server: Any, project: pathlib.Path, key: "str | None") -> None:
    redis = redis_server.client
    server = worker().wait()
    hold(redis, "first")
    submit(redis, "second", "held", name="second", **({"cancel_key": key} if key else {}))
    until(lambda: holders(redis).get("second") == ASIDE)
    redis.set(key or f"{STREAM}:p:second:cancel", "1")
    assert finished(redis, "second")["status"] == "canceled"
    server.tell("first-may-end")
    assert finished(redis, "first")["status"] == "succeeded"
    assert until(lambda: redis.xlen(STREAM) == 0) and not (project / "second-began").exists()


def test_jobs_of_a_pipeline_and_of_its_model_run_at_once(worker: Any, redis_server: Any) -> None:
    redis = redis_server.client
    worker()
    # Each ends when three are in the model, which takes three.
    ids = [submit(redis, f"p{number}", "both" if number else "many", text=f"t{number}", meets=3) for number in range(3)]
    assert [finished(redis, id)["output"] for id in ids] == ["T0", "T1", "T2"]


def test_a_model_s_own_jobs_are_not_starved_by_steps_of_a_pipeline(worker: Any, redis_server: Any, project: pathlib.Path) -> None:
    redis = redis_server.client
    server = worker(LAYERWRIGHT_CONSUMER="one").wait()
    for name in ("p0", "p1", "p2"):  # two run, as many as it has slots, and their first steps take turns
        submit(redis, name, "chain", name=name)
    until(lambda: holders(redis) == {"p0": ("one", 1), "p1": ("one", 1), "p2": ("waiting for chain", 0)})
    hold(redis, "own")
    until(lambda: holders(redis).get("own") == ("one", 0))  # it has its place behind p1, and has not begun
    for name in ("p0", "p1"):
        server.hear(f"{name}-began")
        server.tell(f"{name}-may-end")
    server.hear("own-began")
    assert not (project / "p2-began").exists() and until(lambda: holders(redis)["own"] == ("one", 1))
    for name in ("own", "p2"):
        server.tell(f"{name}-may-end")
        assert finished(redis, name)["deliveries"] == 1


def test_what_waits_for_a_model_that_no_worker_has_any_more_fails(worker: Any, redis_server: Any) -> None:
    redis = redis_server.client
    submit(redis, "old", "gone")
    redis.xreadgroup(STREAM, "waiting for gone", {STREAM: ">"})
    worker(LAYERWRIGHT_IDLE_SECONDS="0.1")
    assert "There is no model gone" in finished(redis, "old")["error"]
