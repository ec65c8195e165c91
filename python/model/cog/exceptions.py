"""The place older projects import ``CancelationException`` from."""

from ._scope import CancelationException

__all__ = ["CancelationException"]
