"""``train``: SageMaker's training contract, with Cog's train function.

Hyperparameters and channels become the function's inputs; the weights it gives back land in ``/opt/ml/model``; the
reason of a failure goes where the platform reads it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from typing import Any, Sequence

from .settings import Settings, SettingsError

ROOT = "/opt/ml"


def train(arguments: Sequence[str], root: str | None = None) -> int:
    """Run one training and give the exit status.

    :param root: for tests; the platform's folder is ``/opt/ml``
    """
    from .logs import configure

    folder = root or os.environ.get("LAYERWRIGHT_ML_ROOT") or ROOT
    try:
        settings = Settings.load(arguments)
        configure(settings.json_logs, os.environ.get("COG_LOG_LEVEL") or "info", os.environ.get("LAYERWRIGHT_LOG_LEVEL"))
        reference = settings.train or settings.predict
        if reference is None:
            raise SettingsError("COG_TRAIN_TYPE_STUB is not set: it names the function, as in `train.py:train`")
        error = asyncio.run(_train(settings, reference, folder))
    except SettingsError as problem:
        error = str(problem)
    if error is None:
        return 0
    print(f"error: {error}", file=sys.stderr)
    output = os.path.join(folder, "output")
    try:
        os.makedirs(output, exist_ok=True)
        with open(os.path.join(output, "failure"), "w", encoding="utf-8") as target:
            target.write(error[:1024])
    except OSError:
        pass  # not on the platform; the reason is on standard error too
    return 1


async def _train(settings: Settings, reference: str, folder: str) -> str | None:
    from .engine import Engine
    from .files import Files
    from .prediction import Prediction
    from .process import Reaper
    from .schema import InvalidRequest, Schema, load

    document = load(settings.schema_path)
    schema = Schema(document, "TrainingInput" if settings.train is not None else "Input")
    try:
        request = schema.check({"input": _inputs(schema, folder)})
    except InvalidRequest as error:
        return f"Invalid hyperparameters: {error}"
    reaper = Reaper()
    engine = Engine(settings, reference, schema, Files(settings), reaper)
    engine.files = _LocalFiles(settings)
    try:
        engine.model.spawn()
    except OSError as error:
        return f"Cannot start the model's interpreter {settings.python}: {error.strerror}"
    await engine.model.attach()
    reaper.install()
    while engine.model.state == "starting":
        await asyncio.sleep(0.01)
    if engine.model.state != "ready":
        return "".join(engine.model.setup_logs).strip() or "Setup failed"
    prediction = Prediction(request)
    engine.submit(prediction)
    await prediction.done
    await engine.stop(settings.grace)
    if prediction.status != "succeeded":
        return prediction.error or prediction.status
    _save(prediction.output, folder)
    return None


def _inputs(schema: Any, folder: str) -> dict[str, Any]:
    """Hyperparameters (all strings on the platform) and channels, by name."""
    values: dict[str, Any] = {}
    path = os.path.join(folder, "input/config/hyperparameters.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as source:
            for name, text in json.load(source).items():
                values[name] = _typed(schema, name, text)
    data = os.path.join(folder, "input/data")
    for channel in sorted(os.listdir(data)) if os.path.isdir(data) else ():
        if channel in schema.file_fields:
            values[channel] = _as_url(os.path.join(data, channel))
    return values


def _typed(schema: Any, name: str, text: Any) -> Any:
    node = schema.resolve(schema.properties.get(name, {}))
    if isinstance(text, str) and node.get("type") not in ("string", None):
        try:
            return json.loads(text.lower() if node.get("type") == "boolean" else text)
        except ValueError:
            return text
    return text


_LOCAL = "data:application/x-layerwright-path,"


def _as_url(path: str) -> str:
    """A channel with one file is that file; any other is its folder."""
    from urllib.parse import quote

    names = os.listdir(path)
    target = os.path.join(path, names[0]) if len(names) == 1 else path
    return _LOCAL + quote(target)


class _LocalFiles:
    """Files of a training: inputs are on disk already, outputs stay there."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def fetch(self, prediction: Any, schema: Any) -> None:
        """Put the paths of channels in place."""
        import copy
        from urllib.parse import unquote

        prediction.sent_input = copy.deepcopy(prediction.input)
        for container, key, url in schema.files(prediction.sent_input):
            if url.startswith(_LOCAL):
                container[key] = unquote(url[len(_LOCAL) :])

    async def send(self, value: Any, prediction: Any) -> Any:
        """Outputs stay paths."""
        return value


def _save(output: Any, folder: str) -> None:
    """Copy the files of the output into the model folder, and the output itself beside them."""
    from .files import FILE_KEY

    target = os.path.join(folder, "model")
    os.makedirs(target, exist_ok=True)

    def place(value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1 and FILE_KEY in value:
                shutil.copy(value[FILE_KEY], target)
                return os.path.basename(value[FILE_KEY])
            return {key: place(item) for key, item in value.items()}
        return [place(item) for item in value] if isinstance(value, list) else value

    with open(os.path.join(target, "output.json"), "w", encoding="utf-8") as sink:
        json.dump(place(output), sink)
