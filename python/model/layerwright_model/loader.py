"""From ``predict.py:Predictor`` to something that can be called."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any, Callable

from cog.predictor import handler_name


class Model:
    """The user's object and its handler.

    ``kind`` says how the handler is run: ``call``, ``generator``, ``coroutine`` or ``async_generator``.
    """

    def __init__(self, reference: str) -> None:
        module, target = _find(reference)
        self.owner: Any = None
        if inspect.isclass(target):
            self.owner = target()
            self.name = handler_name(target) if hasattr(target, "__mro__") else "run"
            self.handler: Callable[..., Any] = getattr(self.owner, self.name)
        else:
            self.handler, self.name = target, target.__name__
        self.module = module
        function = inspect.unwrap(self.handler)
        if inspect.isasyncgenfunction(function):
            self.kind = "async_generator"
        elif inspect.iscoroutinefunction(function):
            self.kind = "coroutine"
        elif inspect.isgeneratorfunction(function):
            self.kind = "generator"
        else:
            self.kind = "call"
        self.is_async = self.kind in ("coroutine", "async_generator")
        self.concurrency = int(getattr(function, "__cog_concurrent_max__", 1))
        self.healthcheck = getattr(self.owner, "healthcheck", None)

    def setup(self) -> Any:
        """Call the user's ``setup``; an asynchronous one gives its coroutine back."""
        setup = getattr(self.owner, "setup", None)
        if setup is None:
            return None
        parameters = inspect.signature(setup).parameters
        if "weights" not in parameters:
            return setup()
        weights: Any = os.environ.get("COG_WEIGHTS") or ("weights" if os.path.exists("weights") else None)
        if weights is not None and "Path" in str(parameters["weights"].annotation) and "://" not in weights:
            from cog import Path

            weights = Path(weights)
        return setup(weights=weights)


def _find(reference: str) -> tuple[ModuleType, Any]:
    path, _, name = reference.rpartition(":")
    if not path.endswith(".py") or not name:
        raise ValueError(f"Predictor reference must look like `predict.py:Predictor`: {reference}")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path} in {os.getcwd()}")
    module = _import(path)
    target = getattr(module, name, None)
    if target is None:
        raise AttributeError(f"{path} has no {name}")
    if not callable(target):
        raise TypeError(f"{name} in {path} is neither a class nor a function")
    return module, target


def _import(path: str) -> ModuleType:
    parts = path[: -len(".py")].strip("./").split("/")
    # By location, as Cog does: a file or folder called like another module (types.py, code/predict.py) is still the
    # user's, and no `__init__.py` beside it runs.
    try:
        return _import_file(parts[-1], path)
    except ImportError as error:
        if len(parts) == 1 or "no known parent package" not in str(error):
            raise
    # It imports its neighbours with a dot, so it is part of a package.
    return importlib.import_module(".".join(parts))


def _import_file(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"Cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
