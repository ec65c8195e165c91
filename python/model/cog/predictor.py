"""``BaseRunner`` and ``BasePredictor``: what a model class derives from."""

from __future__ import annotations

from typing import Any

from ._scope import Scope, current_scope


class BaseRunner:
    """A model: ``setup()`` once, then ``run()`` (or ``predict()``, the older name) for each request."""

    def setup(self, weights: Any = None) -> None:
        """Prepare the model; called once before the first run.

        :param weights: given when the method declares it: the value of ``COG_WEIGHTS``, else ``weights`` if the
            project has such a file or folder
        """

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Answer one request; override it with typed parameters and a return annotation."""
        if _owner(type(self), "predict") is not None:
            return self.predict(*args, **kwargs)
        raise NotImplementedError("run has not been implemented by parent class.")

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """The older name of :meth:`run`."""
        if _owner(type(self), "run") is not None:
            return self.run(*args, **kwargs)
        raise NotImplementedError("predict has not been implemented by parent class.")

    @property
    def scope(self) -> Scope:
        """The running prediction's scope."""
        return current_scope()

    def record_metric(self, key: str, value: Any, mode: str = "replace") -> None:
        """Record a metric of the running prediction."""
        current_scope().record_metric(key, value, mode)


class BasePredictor(BaseRunner):
    """The older name of :class:`BaseRunner`."""


def _owner(cls: type, name: str) -> type | None:
    """The class of the user that defines a method, or None when only the bases here do."""
    for candidate in cls.__mro__:
        if candidate in (BaseRunner, BasePredictor):
            continue
        if name in candidate.__dict__:
            return candidate
    return None


def handler_name(cls: type) -> str:
    """``run`` or ``predict``, whichever a model class defines.

    :raises ValueError: when it defines both or neither
    """
    has_run, has_predict = _owner(cls, "run") is not None, _owner(cls, "predict") is not None
    if has_run and has_predict:
        raise ValueError(f"{cls.__name__} must define either run() or predict(), not both")
    if not has_run and not has_predict:
        raise ValueError(f"run or predict method not found: {cls.__name__}")
    return "run" if has_run else "predict"
