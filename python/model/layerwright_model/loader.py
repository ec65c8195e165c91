"""From ``predict.py:Predictor`` to something that can be called."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
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
    if len(parts) > 1 and _needs_package(path):
        return importlib.import_module(".".join(parts))
    # By location, as Cog does: a file or folder called like another module (types.py, code/predict.py) is still the
    # user's, and no `__init__.py` beside it runs.
    return _import_file(parts[-1], path)


#: a file that asks for these does without a package, too
_OWN_NAMES = {"__name__", "__package__", "__spec__"}
_CATCHES_IMPORT_ERROR = {"ImportError", "Exception", "BaseException"}


def _needs_package(path: str) -> bool:
    """Whether a file imports its neighbours with a dot, and not only to try, or where it asks whether it can.

    Told by its syntax: to begin it and see would run its first lines twice.
    """
    with open(path, "rb") as file:
        source = file.read()
    if re.search(rb"\bfrom[\s\\]*\.", source) is None:
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False  # importing it says what is wrong, and where
    return _imports_with_dot(tree)


def _imports_with_dot(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0
    asked = _names(node.test) if isinstance(node, ast.If) else set()
    if asked & _OWN_NAMES:
        return False
    skipped: list[ast.stmt] = []
    if "TYPE_CHECKING" in asked and isinstance(node, ast.If):
        skipped = node.body
    if isinstance(node, ast.Try) and any(h.type is None or _names(h.type) & _CATCHES_IMPORT_ERROR for h in node.handlers):
        skipped = node.body
    return any(_imports_with_dot(child) for child in ast.iter_child_nodes(node) if child not in skipped)


def _names(node: ast.AST) -> set[str]:
    """The names in an expression, those after a dot too."""
    found = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return found | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def _import_file(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"Cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
