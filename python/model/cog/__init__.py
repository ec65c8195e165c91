"""The names a Cog project imports, without a dependency: ``from cog import BaseRunner, Input, Path``.

This module describes a model to the process that runs it; it starts no server and contacts nobody. The prediction
server is another process with its own interpreter path, so nothing here can clash with what the project pins.
"""

from __future__ import annotations

import sys as _sys
from typing import Any as _Any
from typing import AsyncIterator, Iterator

from ._scope import CancelationException, Scope, current_scope
from .decorators import concurrent, streaming
from .input import FieldInfo, Input
from .model import BaseModel
from .opaque import Opaque
from .predictor import BasePredictor, BaseRunner
from .types import (
    AsyncConcatenateIterator,
    ConcatenateIterator,
    File,
    Path,
    Secret,
    URLFile,
    URLPath,
)

#: The release of Cog whose public names and behaviour this module offers.
__version__ = "0.23.1"


class _ExperimentalFeatureWarning(FutureWarning):
    """Kept so that projects that filter this warning still import."""


def emit_metric(name: str, value: _Any) -> None:
    """Record a metric of the running prediction; the older spelling of ``current_scope().record_metric``."""
    current_scope().record_metric(name, value)


def __getattr__(name: str) -> _Any:
    if name == "ExperimentalFeatureWarning":
        print(
            "cog: ExperimentalFeatureWarning is no longer raised; its import and filter can be removed.",
            file=_sys.stderr,
        )
        globals()[name] = _ExperimentalFeatureWarning
        return _ExperimentalFeatureWarning
    raise AttributeError(f"module 'cog' has no attribute {name!r}")


__all__ = [
    "__version__",
    "AsyncConcatenateIterator",
    "AsyncIterator",
    "BaseModel",
    "BasePredictor",
    "BaseRunner",
    "CancelationException",
    "ConcatenateIterator",
    "ExperimentalFeatureWarning",
    "FieldInfo",
    "File",
    "Input",
    "Iterator",
    "Opaque",
    "Path",
    "Scope",
    "Secret",
    "URLFile",
    "URLPath",
    "concurrent",
    "current_scope",
    "emit_metric",
    "streaming",
]
