"""Projects of several models for tests: their code, and the ``models.json`` that a build would write."""

from __future__ import annotations

import json
import pathlib
import textwrap
from typing import Any

from support import FILE, INTEGER, TEXT, document

MODELS = """
    import asyncio, os, pathlib, signal, tempfile, time
    from cog import BasePredictor, CancelationException, ConcatenateIterator, Path, concurrent, current_scope, streaming

    def wait_for(word):
        for _ in range(30_000):
            if pathlib.Path(word).exists():
                return
            time.sleep(0.01)
        raise TimeoutError(word)

    class Echo(BasePredictor):
        def setup(self):
            print("echo is set up")

        def predict(self, text: str, mark: str = "!") -> str:
            print("echoing", text)
            print("half a line", end="")
            if text == "fail":
                raise ValueError("boom")
            if text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "context":
                return str(current_scope().context)
            current_scope().record_metric("letters", len(text))
            return text + mark

    class Held(BasePredictor):
        def predict(self, name: str = "one") -> str:
            pathlib.Path(name + "-began").touch()
            try:
                wait_for(name + "-may-end")
            except CancelationException:
                pathlib.Path(name + "-canceled").touch()
                raise
            return name

    class Many(BasePredictor):
        @concurrent(max=3)
        async def predict(self, text: str, meets: int = 0) -> str:
            pathlib.Path("at-" + text).touch()
            while len(list(pathlib.Path().glob("at-*"))) < meets:
                await asyncio.sleep(0.01)
            if text == "fail":
                raise ValueError("boom")
            return text.upper()

    class Words(BasePredictor):
        @streaming
        def predict(self, text: str) -> ConcatenateIterator[str]:
            for word in text.split():
                yield word
                wait_for(word + "-was-seen")

    class Pages(BasePredictor):
        @streaming
        def predict(self, text: str) -> ConcatenateIterator[Path]:
            for word in text.split():
                path = Path(tempfile.gettempdir()) / "page.txt"
                path.write_text(word)
                yield path
                wait_for(word + "-was-seen")

    class Split(BasePredictor):
        def predict(self, text: str) -> dict:
            return {"words": text.split(), "count": len(text.split()), "nothing": None}

    class Write(BasePredictor):
        def predict(self, text: str) -> Path:
            path = Path(tempfile.mkdtemp()) / "note.txt"
            path.write_text(text)
            print("wrote", path)
            return path

    class Sample(BasePredictor):
        def predict(self) -> Path:
            return Path("sample.txt")

    class Read(BasePredictor):
        def predict(self, file: Path, other: Path = None) -> str:
            print("read", file)
            return file.read_text() + (other.read_text() if other else "")

    class Shout(BasePredictor):
        def predict(self, file: Path) -> Path:
            path = Path(tempfile.gettempdir()) / "shout.txt"
            path.write_text(file.read_text().upper())
            return path

    class Fragile(BasePredictor):
        def setup(self):
            if pathlib.Path("has-died").exists():
                pathlib.Path("restarts").touch()
                wait_for("may-restart")
                raise RuntimeError("no weights any more")

        def predict(self, text: str) -> str:
            if text == "die":
                pathlib.Path("has-died").touch()
                os._exit(3)
            return text

    class Asked(BasePredictor):
        def healthcheck(self) -> bool:
            with open("checks.log", "a") as log:
                log.write("asked\\n")
            return True

        def predict(self, text: str) -> str:
            return text

    class Broken(BasePredictor):
        def setup(self):
            raise RuntimeError("no weights")

        def predict(self, text: str) -> str:
            return text
"""
_LIST = {"type": "array", "items": TEXT}
_ITERATOR = {**_LIST, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}
_ANY = {"type": "object"}
#: of each class: inputs, output
INTERFACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Echo": ({"text": TEXT, "mark": {**TEXT, "default": "!"}}, TEXT),
    "Held": ({"name": {**TEXT, "default": "one"}}, TEXT),
    "Many": ({"text": TEXT, "meets": {**INTEGER, "default": 0}}, TEXT),
    "Words": ({"text": TEXT}, _ITERATOR),
    "Pages": ({"text": TEXT}, {**_ITERATOR, "items": FILE}),
    "Split": ({"text": TEXT}, _ANY),
    "Write": ({"text": TEXT}, FILE),
    "Sample": ({}, FILE),
    "Read": ({"file": FILE, "other": {**FILE, "nullable": True}}, TEXT),
    "Shout": ({"file": FILE}, FILE),
    "Fragile": ({"text": TEXT}, TEXT),
    "Asked": ({"text": TEXT}, TEXT),
    "Broken": ({"text": TEXT}, TEXT),
}


def ref(path: str) -> dict[str, Any]:
    """``$.detect.boxes[0]`` as the build writes it, without its ``$.``."""
    keys: list[Any] = []
    for part in path.replace("[", ".[").split("."):
        keys.append(int(part[1:-1]) if part.startswith("[") else part)
    return {"ref": keys}


def const(value: Any) -> dict[str, Any]:
    """A constant as the build writes it."""
    return {"const": value}


def step(model: str, title: str | None = None, /, *, when: Any = None, each: Any = None, optional: bool = False, **inputs: Any) -> dict[str, Any]:
    """A step as the build writes it; inputs that are texts are references."""
    values = {key: ref(value) if isinstance(value, str) else value for key, value in inputs.items()}
    made: dict[str, Any] = {"name": title or model, "model": model, "input": values}
    made.update({key: ref(value) for key, value in (("when", when), ("each", each)) if value is not None})
    return {**made, "optional": True} if optional else made


def pipeline(*steps: dict[str, Any], output: str | dict[str, Any], inputs: dict[str, Any], gives: Any = None, streaming: bool = False) -> dict[str, Any]:
    """A pipeline as the build writes it."""
    value = ref(output) if isinstance(output, str) else output
    return {"steps": list(steps), "output": value, "openapi": document(inputs, gives or {}, streaming=streaming)}


def manifest(*classes: str, default: str, **pipelines: dict[str, Any]) -> dict[str, Any]:
    """``models.json``: each model has the name of its class in small letters."""
    models = {}
    for name in classes:
        inputs, output = INTERFACES[name]
        found = document(inputs, output, streaming="x-cog-array-type" in output)
        models[name.lower()] = {"run": f"predict.py:{name}", "openapi": found}
    return {"version": 1, "default": default, "models": models, "pipelines": pipelines}


def write_project(folder: pathlib.Path, listed: dict[str, Any]) -> pathlib.Path:
    """A project with that ``models.json``."""
    project = folder / "project"
    (project / ".cog").mkdir(parents=True)
    (project / "predict.py").write_text(textwrap.dedent(MODELS))
    (project / "sample.txt").write_text("a sample")
    (project / ".cog" / "models.json").write_text(json.dumps(listed))
    return project
