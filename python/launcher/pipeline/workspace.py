"""The files of a pipeline's prediction: they stay on disk from step to step, in one folder, and go with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from typing import Any

from ..files import FILE_KEY, FileError, Files
from ..prediction import Prediction
from ..schema import Schema


class Workspace:
    """Moves the files of the steps' predictions: the engines of their models ask it instead of ``Files``."""

    def __init__(self, files: Files, prediction: Prediction) -> None:
        self._files, self._prediction = files, prediction
        #: URLs that stand for files while an input is checked; nobody can guess one, so none leads to the server's disk
        self._stand_ins: dict[str, str] = {}
        self._count = 0

    def mark_inputs(self, schema: Schema) -> dict[str, Any]:
        """The pipeline's own input, with its files, which are on disk by now, as steps give them."""
        values = self._prediction.sent_input
        if values is None:
            return self._prediction.input
        for container, key, path in list(schema.files(values)):
            container[key] = {FILE_KEY: path}
        return values

    def stand_in(self, value: Any) -> Any:
        """A value with a URL for each file, which the model's schema takes."""
        if isinstance(value, dict):
            if FILE_KEY not in value:
                return {key: self.stand_in(item) for key, item in value.items()}
            url = f"data:,{secrets.token_hex(16)}"
            self._stand_ins[url] = value[FILE_KEY]
            return url
        return [self.stand_in(item) for item in value] if isinstance(value, list) else value

    async def fetch(self, prediction: Prediction, schema: Schema) -> None:
        """Put paths in place of those URLs, and fetch what others lead to.

        :raises FileError: with the name of the input
        """
        await self._files.fetch(prediction, schema, self._stand_ins)
        prediction.sent_input = self._with_paths(prediction.sent_input)

    async def send(self, value: Any, prediction: Prediction) -> Any:
        """Take over the files of a step's output, so that its next run does not write over them.

        :raises FileError: when one cannot be read or stored
        """
        if isinstance(value, dict):
            if FILE_KEY not in value:
                return {key: await self.send(item, prediction) for key, item in value.items()}
            return await self._take(value[FILE_KEY], prediction)
        if isinstance(value, list):
            return [await self.send(item, prediction) for item in value]
        return value

    def _with_paths(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._stand_ins.get(value, value)
        if isinstance(value, dict):
            return {key: self._with_paths(item) for key, item in value.items()}
        return [self._with_paths(item) for item in value] if isinstance(value, list) else value

    async def _take(self, path: str, prediction: Prediction) -> Any:
        folder = self._prediction.folder
        if folder is not None and path.startswith(folder + os.sep):
            return {FILE_KEY: path}
        try:
            is_ours = _was_made_by(prediction, path)
            if self._prediction.is_terminal:  # nobody waits for it any more
                if is_ours:
                    _remove(path)
                return None
            target = self._make_place(path)
            if is_ours:
                shutil.move(path, target)
                _remove_folder_of_handle(path)
            else:
                await asyncio.get_running_loop().run_in_executor(None, shutil.copyfile, path, target)
        except OSError as error:
            raise FileError(f"Cannot keep output file {os.path.basename(path)}: {error.strerror or error}") from None
        return {FILE_KEY: target}

    def _make_place(self, path: str) -> str:
        if self._prediction.folder is None:
            self._prediction.folder = tempfile.mkdtemp(prefix="prediction-")
        self._count += 1
        folder = os.path.join(self._prediction.folder, f"step-{self._count}")
        os.mkdir(folder)
        return os.path.join(folder, os.path.basename(path))


def has_files(value: Any) -> bool:
    """Whether there is a file in the output of a step."""
    if isinstance(value, dict):
        return FILE_KEY in value or any(has_files(item) for item in value.values())
    return isinstance(value, list) and any(has_files(item) for item in value)


def _was_made_by(prediction: Prediction, path: str) -> bool:
    """A run wrote it, for its result alone: it lies among the temporary files, and is not older than the run.

    Anything else (a sample beside the code, something the model keeps) is the model's, and is copied.
    """
    place = os.path.realpath(path)
    began = prediction.started_at or prediction.created_at
    # The kernel's clock for files is some milliseconds behind.
    is_new = os.stat(place).st_ctime >= began - 0.02
    return is_new and not os.path.islink(path) and place.startswith(os.path.realpath(tempfile.gettempdir()) + os.sep)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
    _remove_folder_of_handle(path)


def _remove_folder_of_handle(path: str) -> None:
    """The folder that the model's side makes where a handler gives a file object."""
    folder = os.path.dirname(path)
    if os.path.basename(folder).startswith("output-"):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
