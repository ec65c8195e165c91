"""Starts the launcher (or Cog's own server) on a project made of a source text, and talks to it."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: the launcher's packages: by default those of the interpreter that runs the tests
SITE = os.environ.get("LAYERWRIGHT_TEST_SITE") or next(path for path in sys.path if path.endswith("site-packages"))
LAUNCHER_PYTHON = os.environ.get("LAYERWRIGHT_TEST_PYTHON") or sys.executable
#: the interpreter of the model process; any CPython from 3.10 on
MODEL_PYTHON = os.environ.get("LAYERWRIGHT_TEST_MODEL_PYTHON") or sys.executable
#: an environment with cog and coglet, for tests that compare
COG_PYTHON = os.environ.get("LAYERWRIGHT_TEST_COG_PYTHON")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def document(inputs: dict[str, Any], output: Any = None, *, streaming: bool = False, training: Any = None) -> dict[str, Any]:
    """A Cog OpenAPI document; an input without a default, and not nullable, is required."""

    def schema(title: str, properties: dict[str, Any]) -> dict[str, Any]:
        required = [name for name, node in properties.items() if "default" not in node and not node.get("nullable")]
        numbered = {
            name: {"title": name.replace("_", " ").title(), "x-order": order, **node}
            for order, (name, node) in enumerate(properties.items())
        }
        return {"title": title, "type": "object", "properties": numbered, **({"required": required} if required else {})}

    def operation(name: str, request: str) -> dict[str, Any]:
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{request}"}}}
        answer = {"description": "Successful Response", "content": {"application/json": {"schema": {"type": "object"}}}}
        invalid = {
            "description": "Validation Error",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
        }
        return {
            "operationId": name,
            "summary": name,
            "requestBody": {"content": body},
            "responses": {"200": answer, "422": invalid},
            **({"x-cog-streaming": True} if streaming else {}),
        }

    def request(of: str) -> dict[str, Any]:
        properties = {"id": {"title": "Id", "type": "string"}, "input": {"$ref": f"#/components/schemas/{of}"}}
        return {"title": f"{of} request", "type": "object", "properties": properties}

    components = {
        "Input": schema("Input", inputs),
        "Output": {"title": "Output", **(output or {"type": "string"})},
        "PredictionRequest": request("Input"),
        "HTTPValidationError": {"type": "object", "properties": {"detail": {"type": "array", "items": {}}}},
    }
    paths = {"/predictions": {"post": operation("predict", "PredictionRequest")}}
    if training is not None:
        components["TrainingInput"] = schema("TrainingInput", training)
        components["TrainingOutput"] = {"title": "TrainingOutput"}
        components["TrainingRequest"] = request("TrainingInput")
        paths["/trainings"] = {"post": operation("train", "TrainingRequest")}
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "dev"},
        "paths": paths,
        "components": {"schemas": components},
    }


TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
FILE = {"type": "string", "format": "uri"}


@dataclasses.dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Server:
    """A running server of either kind."""

    def __init__(self, project: pathlib.Path, kind: str = "launcher", arguments: tuple[str, ...] = (), **env: str) -> None:
        self.project, self.kind, self.port = project, kind, free_port()
        self.log_path = project / f"server-{self.port}.log"
        stub = env.pop("STUB", "predict.py:Predictor")
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("COG_", "LAYERWRIGHT_"))},
            "PORT": str(self.port),
            "COG_PREDICT_TYPE_STUB": stub,
            **env,
        }
        if kind == "cog":
            assert COG_PYTHON is not None
            environment["PATH"] = f"{os.path.dirname(COG_PYTHON)}:{environment['PATH']}"
            command = [COG_PYTHON, "-m", "cog.server.http", "--host", "127.0.0.1", *arguments]
        else:
            defaults = {
                "LAYERWRIGHT_SITE": SITE,
                "LAYERWRIGHT_PYTHON": MODEL_PYTHON,
                "LAYERWRIGHT_ALLOW_PRIVATE_URLS": "1",
            }
            environment = {**defaults, **environment}
            command = [LAUNCHER_PYTHON, "-I", "-S", str(ROOT / "launch.py"), *arguments]
            if "serve" not in arguments:
                command += ["--host", "127.0.0.1"]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=project, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server has written."""
        return self.log_path.read_text()

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = dict(headers or {})
        data = body
        if body is not None and not isinstance(body, (bytes, str)):
            data = json.dumps(body)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def predict(self, headers: dict[str, str] | None = None, **inputs: Any) -> Answer:
        """POST /predictions."""
        return self.request("POST", "/predictions", {"input": inputs}, headers)

    def wait(self, *states: str, timeout: float = 30.0) -> "Server":
        """Wait until the health check says one of the states (READY)."""
        wanted = states or ("READY",)
        deadline = time.monotonic() + timeout
        status = "no answer"
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server exited with {self.process.returncode}:\n{self.log}"
            try:
                status = self.get("/health-check").json()["status"]
            except (OSError, ValueError, http.client.HTTPException):
                status = "no answer"
            if status in wanted:
                return self
            time.sleep(0.02)
        raise AssertionError(f"The server says {status}, not {wanted}:\n{self.log}")

    def wait_for(self, id: str, *, timeout: float = 20.0) -> dict[str, Any]:
        """Wait until a prediction ended."""
        return until(lambda: (lambda p: p if p.get("completed_at") else None)(self.get(f"/predictions/{id}").json()), timeout)

    def kill(self) -> None:
        """End it, with all it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    continue
        self.process.wait()


def until(probe: Any, timeout: float = 20.0) -> Any:
    """Call until the answer is true, and give it back."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("Nothing happened in time")
