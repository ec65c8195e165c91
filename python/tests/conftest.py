"""Fixtures: projects, servers, a Redis server."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
import time
from typing import Any, Callable, Iterator

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from collector import Collector  # noqa: E402
from support import COG_IMAGE, COG_PYTHON, IMAGE, LIMIT, Case, Receiver, Server, document, free_port  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Say what the markers are."""
    config.addinivalue_line("markers", "interop: needs other people's tools or packages")
    config.addinivalue_line("markers", "differs(row): what is here and not in Cog: the test must fail on Cog's server")


Make = Callable[..., pathlib.Path]
Start = Callable[..., Server]


@pytest.fixture
def make_project(tmp_path: pathlib.Path) -> Make:
    """Write a project: a source text and its OpenAPI document."""

    def make(source: str, document: dict[str, Any] | None, name: str = "project", **files: str) -> pathlib.Path:
        folder = tmp_path / name
        (folder / ".cog").mkdir(parents=True)
        (folder / "predict.py").write_text(textwrap.dedent(source))
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(textwrap.dedent(text))
        if document is not None:
            (folder / ".cog" / "openapi_schema.json").write_text(json.dumps(document))
        return folder

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def run(*arguments: Any, **env: Any) -> Server:
        servers.append(Server(*arguments, **env))
        return servers[-1]

    yield run
    for server in servers:
        server.kill()


@pytest.fixture(params=["launcher", pytest.param("cog", marks=pytest.mark.interop)])
def kind(request: pytest.FixtureRequest) -> str:
    """Which server: ours, or Cog's own (of an environment, or of an image with `runtime: coglet`)."""
    if request.param == "cog":
        if IMAGE is not None and COG_IMAGE is None:
            pytest.skip("Cog's server is compared outside of this image")
        if COG_IMAGE is None and COG_PYTHON is None:
            if os.environ.get("LAYERWRIGHT_INTEROP") == "required":
                pytest.fail("LAYERWRIGHT_TEST_COG_PYTHON is not set")
            pytest.skip("LAYERWRIGHT_TEST_COG_PYTHON is not set")
        difference = request.node.get_closest_marker("differs")
        if difference is not None:
            # Strict: a Cog that no longer differs fails the suite, and the table in the docs loses a row.
            request.applymarker(pytest.mark.xfail(reason=difference.args[0], strict=True, raises=AssertionError))
    return str(request.param)


@pytest.fixture
def serve(make_project: Make, start: Start, kind: str) -> Callable[..., Case]:
    """Start a project on either server."""

    def run(source: str, inputs: dict[str, Any], output: Any = None, **options: Any) -> Case:
        env = options.pop("env", {})
        project = make_project(source, document(inputs, output, **options))
        return Case(start(project, kind, **env).wait())

    return run


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Make receivers of webhooks that end with the test."""
    made: list[Receiver] = []

    def make(fail: int = 0) -> Receiver:
        made.append(Receiver(fail))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()


@pytest.fixture
def collector() -> Iterator[Callable[..., Collector]]:
    """Make collectors of traces that end with the test."""
    made: list[Collector] = []

    def make(*refusals: int) -> Collector:
        made.append(Collector(*refusals))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()


class RedisServer:
    """A redis-server of its own, with an append-only file.

    What it answers has been written by then, which is what a kill leaves. It need not be on the disk as well: no test cuts
    the power, and a server that waits for a busy disk answers nobody for seconds, as if its workers had died.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, on the data it had."""
        import redis

        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "no"]
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log)
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                self.client.ping()
                return
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text())

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def redis_server(tmp_path: pathlib.Path) -> Iterator[RedisServer]:
    """A Redis server for one test."""
    if shutil.which("redis-server") is None:
        if os.environ.get("LAYERWRIGHT_INTEROP") == "required":
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    yield server
    server.kill()
