"""Starts the launcher (or Cog's own server) on a project made of a source text, and talks to it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import http.client
import http.server
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: the launcher's packages: by default those of the interpreter that runs the tests
SITE = os.environ.get("LAYERWRIGHT_TEST_SITE") or next(path for path in sys.path if path.endswith("site-packages"))
LAUNCHER_PYTHON = os.environ.get("LAYERWRIGHT_TEST_PYTHON") or sys.executable
#: the interpreter of the model process; any CPython from 3.10 on
MODEL_PYTHON = os.environ.get("LAYERWRIGHT_TEST_MODEL_PYTHON") or sys.executable
#: an environment with cog and coglet, for tests that compare
COG_PYTHON = os.environ.get("LAYERWRIGHT_TEST_COG_PYTHON")
#: an unpacked image (an OCI bundle: `rootfs` and `config.json`); the launcher is then started inside it, by the image's
#: own entry point, as a uid that nobody knows, on a read-only root
IMAGE = os.environ.get("LAYERWRIGHT_TEST_IMAGE")
IMAGE_UID = 1_000_680_000
#: the same of an image with `runtime: coglet`: Cog's server is then started inside it, as the same stranger
COG_IMAGE = os.environ.get("LAYERWRIGHT_TEST_COG_IMAGE")
#: how much longer than usual to wait, where the image is of another architecture and emulated
PATIENCE = float(os.environ.get("LAYERWRIGHT_TEST_PATIENCE", "1"))
#: seconds until something that must happen counts as not happening; a test that passes never waits as long
LIMIT = 90.0
#: numbers the containers; a test that starts a hundred workers is given a port twice now and then
SERIAL = itertools.count(1)


def free_port() -> int:
    """A port that nobody listens on, and that no other process of these tests is given."""
    for port in own_ports():
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("There is always another port")


@functools.cache
def own_ports() -> Iterator[int]:
    """One after the other, over and over, of a block that is locked for as long as this process lives.

    All are below those that the kernel gives to outgoing connections. A server listens a second after it was given its
    port: by chance alone another process would be given the same one in between, once in some hundred runs.
    """
    starts = range(10_000, 32_000, 200)
    for start in random.sample(starts, len(starts)):
        path = pathlib.Path(tempfile.gettempdir()) / f"layerwright-test-ports-{start}.lock"
        with contextlib.suppress(OSError):  # somebody else's
            # Not made where it is: another user's file in /tmp can be opened, but not "made or opened".
            lock = os.open(path, os.O_RDONLY if path.exists() else os.O_RDONLY | os.O_CREAT, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            return itertools.cycle(range(start, start + 200))
    raise AssertionError("Every block of ports is in use")


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


class NotServing(Exception):
    """The server ended, or did not reach a state in time; no difference between servers that a test may expect."""


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
        self.log_path = project.parent / f"server-{self.port}.log"
        self.container: str | None = None
        self.turn = contextlib.ExitStack()
        stub = env.pop("STUB", "predict.py:Predictor")
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("COG_", "LAYERWRIGHT_"))},
            "PORT": str(self.port),
            "COG_PREDICT_TYPE_STUB": stub,
            **env,
        }
        image = COG_IMAGE if kind == "cog" else IMAGE
        if kind == "cog" and image is None:
            assert COG_PYTHON is not None
            environment["PATH"] = f"{os.path.dirname(COG_PYTHON)}:{environment['PATH']}"
            command = [COG_PYTHON, "-m", "cog.server.http", "--host", "127.0.0.1", *arguments]
        elif image is not None:
            if kind == "cog":
                self.turn.enter_context(only_one("cog"))
            kept = {key: environment[key] for key in ("PORT", "COG_PREDICT_TYPE_STUB")}
            if "serve" not in arguments:
                arguments = (*arguments, "--host", "127.0.0.1")
            self.container = f"layerwright-test-{os.getpid()}-{next(SERIAL)}"
            command = container(image, self.container, project, arguments, {"LAYERWRIGHT_ALLOW_PRIVATE_URLS": "1", **kept, **env})
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
    def pid(self) -> int:
        """The launcher's process id."""
        if self.container is None:
            return self.process.pid
        return int(until(self._container_pid))

    def _container_pid(self) -> int:
        """0 while there is none: its name is known to runc a moment after its start, and its pid a moment after that."""
        if self.process.poll() is not None:
            raise NotServing(f"The container exited with {self.process.returncode}:\n{self.log}")
        done = subprocess.run(["runc", "state", self.container or ""], capture_output=True, check=False)
        state = json.loads(done.stdout) if done.returncode == 0 else {}
        return int(state["pid"]) if state.get("status") == "running" else 0

    @property
    def children(self) -> list[int]:
        """The process ids of what the launcher started."""
        pid = self.pid
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def crash(self) -> None:
        """kill -9 of the launcher."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self._remove()

    def _remove(self) -> None:
        if self.container is not None:
            subprocess.run(["runc", "delete", "--force", self.container], capture_output=True, check=False)
        self.turn.close()

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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * LIMIT)
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

    def wait(self, *states: str, timeout: float = LIMIT) -> "Server":
        """Wait until the health check says one of the states (READY)."""
        wanted = states or ("READY",)
        deadline = time.monotonic() + timeout * PATIENCE
        status = "no answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise NotServing(f"The server exited with {self.process.returncode}:\n{self.log}")
            try:
                status = self.get("/health-check").json()["status"]
            except (OSError, ValueError, http.client.HTTPException):
                status = "no answer"
            if status in wanted:
                return self
            time.sleep(0.02)
        raise NotServing(f"The server says {status}, not {wanted}:\n{self.log}")

    def wait_for(self, id: str, *, timeout: float = LIMIT) -> dict[str, Any]:
        """Wait until a prediction ended."""
        return until(lambda: (lambda p: p if p.get("completed_at") else None)(self.get(f"/predictions/{id}").json()), timeout)

    def tell(self, word: str) -> None:
        """Make a file in the project that its model waits for."""
        (self.project / word).touch()

    def hear(self, word: str) -> None:
        """Wait for a file in the project that its model makes."""
        until(lambda: (self.project / word).exists())

    def kill(self) -> None:
        """End it, with all it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    self._remove()
        self.process.wait()
        self._remove()


class Case:
    """A server of either kind, for a client that sends one prediction after another."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def post(self, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """POST /predictions; Cog frees a slot after its answer, so a client of it must wait; here nobody has to."""
        if self.server.kind == "cog":
            self.server.wait()
        return self.server.request("POST", "/predictions", body, headers)


class Receiver:
    """A webhook receiver; the first ``fail`` requests of an event are answered with 500."""

    def __init__(self, fail: int = 0) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.fail = fail
        outer, lock = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Keep it."""
                raw = self.rfile.read(int(self.headers["content-length"]))
                body = json.loads(raw)
                is_final = body["status"] in ("succeeded", "failed", "canceled")
                with lock:
                    outer.raw.append(raw)
                    outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                    outer.bodies.append(body)
                    status = 500 if is_final and outer.fail > 0 else 200
                    outer.fail -= is_final
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            do_PUT = do_POST

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@contextlib.contextmanager
def only_one(what: str) -> Iterator[None]:
    """Wait until nobody else on this machine has one.

    Cog's server names its sockets by its process, which has the same number in each container of the host's network.
    """
    with open(pathlib.Path(tempfile.gettempdir()) / f"layerwright-test-{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def container(image: str, name: str, project: pathlib.Path, arguments: tuple[str, ...], env: dict[str, str]) -> list[str]:
    """The command that runs the image's entry point on a project; the network is the host's, so that ports are."""
    config = json.loads((pathlib.Path(image) / "config.json").read_text())
    for path in [project, *project.rglob("*")]:  # models of the tests write into their project
        path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))
    set_here = dict(entry.split("=", 1) for entry in config["process"]["env"])
    set_here.pop("HOME", None)
    config["process"].update(
        terminal=False,
        args=[*config["process"]["args"], *arguments],
        cwd="/src",
        env=[f"{key}={value}" for key, value in {**set_here, **env}.items()],
        user={"uid": IMAGE_UID, "gid": 0},
        capabilities={},
        noNewPrivileges=True,
    )
    config["root"] = {"path": str(pathlib.Path(image) / "rootfs"), "readonly": True}

    def tmpfs(path: str, *options: str) -> dict[str, Any]:
        return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}

    config["mounts"] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        tmpfs("/dev", "mode=755", "strictatime"),
        tmpfs("/dev/shm", "mode=1777"),
        tmpfs("/tmp", "mode=1777"),
        {"destination": "/src", "type": "bind", "source": str(project), "options": ["rbind", "rw"]},
        *({"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]} for path in ("/etc/resolv.conf", "/etc/hosts")),
    ]
    # What is outside of the project and named by a variable, as a CA or a socket is.
    for value in {part for text in env.values() for part in re.findall(rf"{re.escape(str(project.parent))}/[\w.-]+", text)}:
        if value != str(project) and os.path.exists(value):
            config["mounts"].append({"destination": value, "type": "bind", "source": value, "options": ["rbind", "rw"]})
    config["linux"] = {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]}
    config["hostname"] = name
    bundle = project.parent / name
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(config))
    return ["runc", "run", "--bundle", str(bundle), name]


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")


def until(probe: Any, timeout: float = LIMIT) -> Any:
    """Call until the answer is true, and give it back."""
    deadline = time.monotonic() + timeout * PATIENCE
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("Nothing happened in time")
